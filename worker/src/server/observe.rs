//! Request ids, the access log, and panics.

use std::any::Any;
use std::time::Instant;

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::Instrument as _;

use super::error::ApiError;

const HEADER: &str = "x-request-id";
/// Longest path in a log line, in characters.
const MAX_PATH_CHARS: usize = 100;

/// Gives every request an id, which stands in its answer and in every log line of it. The log has
/// no query, no header and no body.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let id = uuid::Uuid::now_v7().to_string();
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(MAX_PATH_CHARS).collect();
    let span = tracing::info_span!("request", id, %method, path);
    let began = Instant::now();
    async move {
        let mut response = next.run(request).await;
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(HEADER, value);
        }
        let elapsed_ms = began.elapsed().as_secs_f64() * 1000.0;
        tracing::info!(status = response.status().as_u16(), elapsed_ms, "answered");
        response
    }
    .instrument(span)
    .await
}

/// The answer after a panic. The panic itself has been logged by the hook.
#[allow(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
pub(super) fn after_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::internal().into_response()
}
