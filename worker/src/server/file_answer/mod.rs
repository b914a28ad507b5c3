//! Answering with a file: whole, a part of it, or only that it is still the same (RFC 9110).
//!
//! Small parts are read at once and sent with the head in one write. Larger ones are sent piece by
//! piece as the client takes them, so a file of any size costs the same memory.

mod body;
mod conditional;
mod range;
mod validators;

use std::io;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

use self::conditional::Verdict;
use self::range::Part;
pub(super) use self::validators::Validators;
use super::error::ApiError;
use crate::api::ErrorCode;
use crate::store::volume::VolumeFile;

/// A file that is to be sent.
#[derive(Debug)]
pub(super) struct FileAnswer {
    /// The open file.
    pub(super) file: VolumeFile,
    /// What is told of it.
    pub(super) described: Described,
}

/// What is told of a file.
#[derive(Debug)]
pub(super) struct Described {
    /// Which content it is.
    pub(super) validators: Validators,
    /// `Content-Type`.
    pub(super) content_type: HeaderValue,
    /// `Cache-Control`.
    pub(super) cache_control: HeaderValue,
    /// What is sent with the content beside that.
    pub(super) more: Vec<(HeaderName, HeaderValue)>,
}

impl FileAnswer {
    /// What a request with this method and these headers is answered.
    pub(super) async fn respond(
        self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        match conditional::verdict(headers, &self.described.validators) {
            Verdict::Send => {}
            Verdict::NotModified => {
                let mut response = StatusCode::NOT_MODIFIED.into_response();
                self.described.describe(response.headers_mut());
                return Ok(response);
            }
            Verdict::Failed => {
                let message = "the file is not the one that the request is about";
                return Err(ApiError::new(ErrorCode::PreconditionFailed, message));
            }
        }
        let Self { file, described } = self;
        let size = described.validators.size;
        // Of all methods, only GET knows parts.
        let part =
            if method == Method::GET && conditional::range_holds(headers, &described.validators) {
                range::part(headers, size)
            } else {
                Part::Whole
            };
        let (status, start, length) = match part {
            Part::Whole => (StatusCode::OK, 0, size),
            Part::Of { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
            Part::Nothing => return Ok(not_satisfiable(size)),
        };
        let body = if method == Method::HEAD {
            Body::empty()
        } else {
            body::of(file, start, length).await.map_err(unreadable)?
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        if let Part::Of { first, last } = part {
            headers.insert(CONTENT_RANGE, text(format!("bytes {first}-{last}/{size}")));
        }
        described.describe(headers);
        headers.insert(CONTENT_TYPE, described.content_type);
        headers.extend(described.more);
        Ok(response)
    }
}

impl Described {
    /// What is told of the content whether it is sent or not.
    fn describe(&self, headers: &mut HeaderMap) {
        headers.insert(ETAG, self.validators.etag());
        if let Some(modified) = self.validators.last_modified() {
            headers.insert(LAST_MODIFIED, text(httpdate::fmt_http_date(modified)));
        }
        headers.insert(CACHE_CONTROL, self.cache_control.clone());
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
}

/// A header's value from a text that is known to be printable.
fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}

fn not_satisfiable(size: u64) -> Response {
    let message = format!("the file has {size} bytes, and the range none of them");
    let mut response = ApiError::new(ErrorCode::RangeNotSatisfiable, message).into_response();
    response.headers_mut().insert(CONTENT_RANGE, text(format!("bytes */{size}")));
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: io::Error) -> ApiError {
    tracing::error!(%error, "a file could not be read");
    ApiError::new(ErrorCode::StorageError, "the file cannot be read at the moment")
}
