//! Errors outside a stream: a code, its status and a text, always JSON.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::api::ErrorCode;
use crate::blocking::BrokeOff;
use crate::store::assets::AssetError;
use crate::store::projects::ProjectError;

/// An answer that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    code: ErrorCode,
    message: String,
}

impl ApiError {
    /// Any error. The message is for people: never a path of the machine.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The request is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// The secret is missing or wrong; one text for both.
    pub fn unauthorized() -> Self {
        Self::new(ErrorCode::Unauthorized, "Unauthorized")
    }

    /// A body that stopped coming.
    pub fn body_timeout() -> Self {
        Self::new(ErrorCode::BodyTimeout, "the body did not arrive in time")
    }

    /// The worker is about to end and begins nothing new.
    pub fn shutting_down() -> Self {
        Self::new(ErrorCode::ShuttingDown, "the worker is shutting down")
    }

    /// A defect of the worker. What it was stands in the log.
    pub fn internal() -> Self {
        Self::new(ErrorCode::InternalError, "internal error")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({ "error": self.message, "code": self.code });
        (status, Json(body)).into_response()
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
                Self::new(ErrorCode::ProjectExists, "the project exists already")
            }
            ProjectError::Foreign(_) | ProjectError::Late => {
                Self::new(ErrorCode::StorageError, error.to_string())
            }
            ProjectError::Busy => Self::new(ErrorCode::ProjectBusy, error.to_string()),
            ProjectError::Quota(reason) => Self::new(ErrorCode::QuotaExceeded, reason),
            ProjectError::Full => Self::new(ErrorCode::StorageFull, "no space left"),
            other => {
                tracing::error!(error = %other, "a project could not be read or written");
                let message = "the project cannot be read or written at the moment";
                Self::new(ErrorCode::StorageError, message)
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
            AssetError::TooLarge(_) => Self::new(ErrorCode::BodyTooLarge, message),
            AssetError::Kind => Self::new(ErrorCode::UnsupportedMediaType, message),
            AssetError::Quota(_) => Self::new(ErrorCode::QuotaExceeded, message),
            AssetError::Full => Self::new(ErrorCode::StorageFull, "no space left on the volume"),
            AssetError::Unusable(_) | AssetError::Io(_) => {
                tracing::error!(error = message, "an asset could not be read or written");
                let message = "assets cannot be read or written at the moment";
                Self::new(ErrorCode::StorageError, message)
            }
        }
    }
}
