//! The broker's own answers. They have the form of the API's errors, which the CLI understands.

use std::borrow::Cow;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// A body that is complete or streamed.
pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The reason why a request is not forwarded, in the form in which the sender gets it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    message: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(
        status: StatusCode,
        kind: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, kind, message: message.into() }
    }

    /// Refuses a request that is wrong in itself. The CLI does not repeat such a request unchanged.
    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// Refuses a request that may succeed a little later. The CLI repeats it by itself.
    pub(super) fn not_now(message: &'static str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
    }

    /// Makes the answer. The connection is closed after it, because the rest of the request may not
    /// have been read.
    pub(super) fn into_answer(self) -> Response<Body> {
        let mut response = error(self.status, self.kind, &self.message);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// Makes an answer with an error in the API's form.
pub(super) fn error(status: StatusCode, kind: &str, message: &str) -> Response<Body> {
    let json = serde_json::json!({
        "type": "error",
        "error": { "type": kind, "message": message },
    });
    let mut response = Response::new(full(json.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Makes an answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(String::new()));
    *response.status_mut() = status;
    response
}

/// A body that is at hand.
pub(super) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}
