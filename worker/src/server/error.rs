//! Errors outside of a stream: JSON with a code and a text, and the status of the code.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::api::ErrorCode;
use crate::blocking::BrokeOff;
use crate::store::assets::AssetError;
use crate::store::projects::ProjectError;
use crate::store::volume::NotCommitted;

/// An error as the answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    code: ErrorCode,
    message: String,
}

impl ApiError {
    /// Makes an error. The message is for people; it must not contain a path of the machine.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The error of a malformed request.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// The error if what the request names does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// The error of a missing or wrong secret. Both have the same text.
    pub fn unauthorized() -> Self {
        Self::new(ErrorCode::Unauthorized, "Unauthorized")
    }

    /// The error of a body that does not arrive in time.
    pub fn body_timeout() -> Self {
        Self::new(ErrorCode::BodyTimeout, "the body did not arrive in time")
    }

    /// The error of a worker that is about to end and takes no new work.
    pub fn shutting_down() -> Self {
        Self::new(ErrorCode::ShuttingDown, "the worker is shutting down")
    }

    /// The error of a defect of the worker. The caller has logged it.
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
            ProjectError::Foreign(_) | ProjectError::Late | ProjectError::Arriving => {
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

impl From<NotCommitted> for ApiError {
    fn from(error: NotCommitted) -> Self {
        Self::new(ErrorCode::StorageNotCommitted, error.to_string())
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
