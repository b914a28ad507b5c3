//! Bodies: bounded in size and time, JSON, UTF-8, and then a type.

use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::error::ApiError;
use crate::api::ErrorCode;
use crate::app::App;

/// Largest JSON body, in bytes: a prompt of the largest size, every character of it escaped.
pub(super) const MAX_JSON_BYTES: usize = 8 << 20;
/// Bodies up to this size are not counted as large.
const SMALL_BODY_BYTES: u64 = 1 << 20;
/// Large bodies that are held in memory at a time; each takes about three times its size.
const MAX_LARGE_BODIES: usize = 4;
/// Longest time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        read(request, MAX_JSON_BYTES).await.map(Self)
    }
}

/// A JSON body with files in it, of a size that is set. Only a few are held in memory at a time.
#[derive(Debug)]
pub(super) struct LargeBody<T> {
    pub(super) value: T,
    /// To be held for as long as what was in the body.
    pub(super) permit: LargePermit,
}

/// The right to hold a large body in memory.
#[derive(Debug)]
pub(super) struct LargePermit(Option<SemaphorePermit<'static>>);

static LARGE: Semaphore = Semaphore::const_new(MAX_LARGE_BODIES);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for LargeBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let limit = app.settings.max_body_bytes;
        let is_small = request.body().size_hint().upper().is_some_and(|n| n <= SMALL_BODY_BYTES);
        let permit = if is_small {
            None
        } else {
            let waited = timeout(BODY_TIMEOUT, LARGE.acquire()).await;
            let busy = || {
                let message = "too many large requests at the same time";
                ApiError::new(ErrorCode::WorkerBusy, message)
            };
            Some(waited.map_err(|_| busy())?.map_err(|_| ApiError::internal())?)
        };
        let value = read(request, limit).await?;
        Ok(Self { value, permit: LargePermit(permit) })
    }
}

impl LargePermit {
    /// Gives it back.
    pub(super) fn release(self) {
        drop(self.0);
    }
}

async fn read<T: DeserializeOwned>(request: Request, limit: usize) -> Result<T, ApiError> {
    check_media_type(&request)?;
    // Known to be too large before a byte of it is read: a client that waits for `100 Continue`
    // never sends it.
    if request.body().size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let body = Limited::new(request.into_body(), limit);
    let bytes = match timeout(BODY_TIMEOUT, body.collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(too_large(limit));
        }
        Ok(Err(_)) => return Err(ApiError::bad_request("the body broke off")),
        Err(_) => {
            return Err(ApiError::body_timeout());
        }
    };
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| ApiError::bad_request("the body is not valid UTF-8"))?;
    serde_json::from_str(text)
        .map_err(|error| ApiError::bad_request(format!("the body is not valid: {error}")))
}

fn too_large(limit: usize) -> ApiError {
    let message = format!("the body is larger than {limit} bytes");
    ApiError::new(ErrorCode::BodyTooLarge, message)
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
    Err(ApiError::new(ErrorCode::UnsupportedMediaType, message))
}
