//! Answers with a file: the whole file, a part of it, or only that it has not changed (RFC 9110).
//!
//! A small part is read at once and sent with the head in one write. A larger one is sent in pieces
//! as the client takes them, so memory does not depend on the size of the file.

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

/// An answer with a file.
#[derive(Debug)]
pub(super) struct FileAnswer {
    /// The open file.
    pub(super) file: VolumeFile,
    /// The description of the file, for the headers.
    pub(super) described: Described,
}

/// The description of a file, for the headers.
#[derive(Debug)]
pub(super) struct Described {
    /// Entity tag, time of change and size.
    pub(super) validators: Validators,
    /// The header `Content-Type`.
    pub(super) content_type: HeaderValue,
    /// The header `Cache-Control`.
    pub(super) cache_control: HeaderValue,
    /// Further headers that are sent with the content.
    pub(super) more: Vec<(HeaderName, HeaderValue)>,
}

impl FileAnswer {
    /// The answer to a request with this method and these headers. It reads the beginning of the
    /// file, so it is blocking.
    pub(super) fn respond(
        self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        self.respond_with(method, headers, |file, start, length| {
            body::of(file, start, length).map_err(unreadable)
        })
    }

    /// The same answer, from a file that was opened without waiting. `None` if the beginning of the
    /// file would have to be waited for.
    pub(super) fn respond_at_hand(
        self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<Result<Response, ApiError>> {
        let read = |file, start, length| body::at_hand(file, start, length).ok_or(None);
        match self.respond_with::<Option<ApiError>>(method, headers, read) {
            Ok(response) => Some(Ok(response)),
            Err(error) => error.map(Err),
        }
    }

    fn respond_with<E: From<ApiError>>(
        self,
        method: &Method,
        headers: &HeaderMap,
        read: impl FnOnce(VolumeFile, u64, u64) -> Result<Body, E>,
    ) -> Result<Response, E> {
        match conditional::verdict(headers, &self.described.validators) {
            Verdict::Send => {}
            Verdict::NotModified => {
                let mut response = StatusCode::NOT_MODIFIED.into_response();
                self.described.describe(response.headers_mut());
                return Ok(response);
            }
            Verdict::Failed => {
                let message = "the file is not the one that the request is about";
                return Err(ApiError::new(ErrorCode::PreconditionFailed, message).into());
            }
        }
        let Self { file, described } = self;
        let size = described.validators.size;
        // Ranges are defined for GET only.
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
        let body = if method == Method::HEAD { Body::empty() } else { read(file, start, length)? };
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
    /// Sets the headers that every answer has, whether the content is sent or not.
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

/// Makes a header's value from a text that is known to be printable ASCII.
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
