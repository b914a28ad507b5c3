//! The broker's own answers, in the form of the API's errors, which the CLI understands.

use std::borrow::Cow;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// A body that is either at hand or streamed.
pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Why a request is not forwarded, as its sender is told.
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

    /// The request itself is wrong. The CLI does not repeat such a request unchanged.
    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// The request may succeed a little later. The CLI repeats it by itself.
    pub(super) fn not_now(message: &'static str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
    }

    /// The answer. The connection ends with it: what may be left of the request is not read.
    pub(super) fn into_answer(self) -> Response<Body> {
        let mut response = error(self.status, self.kind, &self.message);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// An answer with an error of the API's form.
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

/// An empty answer.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(String::new()));
    *response.status_mut() = status;
    response
}

fn full(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}
