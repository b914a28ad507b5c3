//! Errors outside a stream: a status, a code and a text, always JSON.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::blocking::BrokeOff;
use crate::store::assets::AssetError;
use crate::store::projects::ProjectError;

/// An answer that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    /// Any error.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// The request is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    /// The secret is missing or wrong; one text for both.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Unauthorized")
    }

    /// A defect of the worker. What it was stands in the log.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "internal error")
    }

    /// The volume is full.
    pub fn storage_full() -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "STORAGE_FULL", "no space left on the volume")
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The machine-readable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The text.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.message, "code": self.code });
        (self.status, Json(body)).into_response()
    }
}

impl From<BrokeOff> for ApiError {
    fn from(_: BrokeOff) -> Self {
        Self::internal()
    }
}

impl From<ProjectError> for ApiError {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::NotFound => Self::not_found("not found"),
            ProjectError::Ambiguous => Self::bad_request(error.to_string()),
            ProjectError::Exists => {
                Self::new(StatusCode::CONFLICT, "PROJECT_EXISTS", "the project exists already")
            }
            ProjectError::Busy => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "PROJECT_BUSY", error.to_string())
            }
            ProjectError::Quota(reason) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "QUOTA_EXCEEDED", reason)
            }
            ProjectError::Full => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "STORAGE_FULL", "no space left")
            }
            other => {
                tracing::error!(error = %other, "a project could not be read or written");
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(
                    status,
                    "STORAGE_ERROR",
                    "the project cannot be read or written at the moment",
                )
            }
        }
    }
}

impl From<AssetError> for ApiError {
    fn from(error: AssetError) -> Self {
        let message = error.to_string();
        match error {
            AssetError::NotFound => Self::not_found("Asset not found"),
            AssetError::Empty => Self::bad_request(message),
            AssetError::TooLarge(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", message)
            }
            AssetError::Kind => {
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                Self::new(status, "UNSUPPORTED_MEDIA_TYPE", message)
            }
            AssetError::Quota(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "QUOTA_EXCEEDED", message)
            }
            AssetError::Full => Self::storage_full(),
            AssetError::Unusable(_) | AssetError::Io(_) => {
                tracing::error!(error = message, "an asset could not be read or written");
                let status = StatusCode::SERVICE_UNAVAILABLE;
                let message = "assets cannot be read or written at the moment";
                Self::new(status, "STORAGE_ERROR", message)
            }
        }
    }
}
