//! Conditional requests, which depend on what the client has already (RFC 9110, section 13).

use axum::http::HeaderMap;
use axum::http::header::{
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use headers::{
    ETag, Header, HeaderMapExt as _, IfMatch, IfModifiedSince, IfNoneMatch, IfRange,
    IfUnmodifiedSince,
};

use super::validators::Validators;

/// The result of a request's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The content is to be sent.
    Send,
    /// The client has the present content.
    NotModified,
    /// The client requires another content than the present one.
    Failed,
}

/// Checks the conditions in the order of section 13.2.2. A condition that cannot be parsed is
/// ignored, except `If-Match` and `If-Unmodified-Since`, which protect something: those fail.
pub(super) fn verdict(headers: &HeaderMap, validators: &Validators) -> Verdict {
    let conditional = [IF_MATCH, IF_UNMODIFIED_SINCE, IF_NONE_MATCH, IF_MODIFIED_SINCE];
    if !conditional.iter().any(|name| headers.contains_key(name)) {
        return Verdict::Send;
    }
    let (etag, modified) = (Tag::new(validators), validators.last_modified());
    if headers.contains_key(IF_MATCH) {
        if !read::<IfMatch>(headers)
            .is_some_and(|field| etag.is(|tag| field.precondition_passes(tag)))
        {
            return Verdict::Failed;
        }
    } else if headers.contains_key(IF_UNMODIFIED_SINCE)
        && let (Some(field), Some(modified)) = (read::<IfUnmodifiedSince>(headers), modified)
        && !field.precondition_passes(modified)
    {
        return Verdict::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if read::<IfNoneMatch>(headers)
            .is_some_and(|field| etag.is(|tag| !field.precondition_passes(tag)))
        {
            return Verdict::NotModified;
        }
    } else if headers.contains_key(IF_MODIFIED_SINCE)
        && let (Some(field), Some(modified)) = (read::<IfModifiedSince>(headers), modified)
        // Not "or earlier": a machine whose clock went wrong dates a new content before the old one.
        && field == IfModifiedSince::from(modified)
    {
        return Verdict::NotModified;
    }
    Verdict::Send
}

/// Whether `Range` counts. With `If-Range` it counts only if that names exactly the present
/// content. A date never does, because a file can change twice in a second.
pub(super) fn range_holds(headers: &HeaderMap, validators: &Validators) -> bool {
    if !headers.contains_key(RANGE) {
        return false;
    }
    if !headers.contains_key(IF_RANGE) {
        return true;
    }
    let field = read::<IfRange>(headers);
    field.is_some_and(|field| !field.is_modified(Tag::new(validators).0.as_ref(), None))
}

/// Parses a header that is sent exactly once. Two of them would be ambiguous.
fn read<T: Header>(headers: &HeaderMap) -> Option<T> {
    headers.typed_get::<T>()
}

/// The present entity tag in a form that the headers can be compared with.
struct Tag(Option<ETag>);

impl Tag {
    fn new(validators: &Validators) -> Self {
        let value = validators.etag();
        Self(value.to_str().ok().and_then(|text| text.parse().ok()))
    }

    fn is(&self, holds: impl Fn(&ETag) -> bool) -> bool {
        self.0.as_ref().is_some_and(holds)
    }
}
