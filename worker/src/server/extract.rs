//! Bodies: bounded in size and time, JSON, UTF-8, and then a type.

use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::error::ApiError;

/// Largest JSON body, in bytes: a prompt of the largest size, every character of it escaped.
pub(super) const MAX_JSON_BYTES: usize = 8 << 20;
/// Longest time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        check_media_type(&request)?;
        // Known to be too large before a byte of it is read: a client that waits for `100 Continue`
        // never sends it.
        if request.body().size_hint().lower() > MAX_JSON_BYTES as u64 {
            return Err(too_large());
        }
        let body = Limited::new(request.into_body(), MAX_JSON_BYTES);
        let bytes = match timeout(BODY_TIMEOUT, body.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(too_large());
            }
            Ok(Err(_)) => return Err(ApiError::bad_request("the body broke off")),
            Err(_) => {
                let message = "the body did not arrive in time";
                return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "BODY_TIMEOUT", message));
            }
        };
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| ApiError::bad_request("the body is not valid UTF-8"))?;
        serde_json::from_str(text)
            .map(Self)
            .map_err(|error| ApiError::bad_request(format!("the body is not valid: {error}")))
    }
}

fn too_large() -> ApiError {
    let message = format!("the body is larger than {MAX_JSON_BYTES} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", message)
}

/// A body that says that it is something else than JSON is refused; one that says nothing is read.
fn check_media_type(request: &Request) -> Result<(), ApiError> {
    let Some(value) = request.headers().get(CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = "Content-Type must be application/json";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message))
}
