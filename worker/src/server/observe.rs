//! What is done around every request: its id, its line in the access log, and the answer after a
//! panic.

use std::any::Any;
use std::time::Instant;

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::Instrument as _;

use super::error::ApiError;

const HEADER: &str = "x-request-id";
/// The longest path in a log line, in characters.
const MAX_PATH_CHARS: usize = 100;

/// Gives every request an id, which is in its answer and in each of its log lines. The log contains
/// no query, header or body.
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

/// The answer after a panic. The panic hook has logged the panic itself.
#[allow(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
pub(super) fn after_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::internal().into_response()
}
