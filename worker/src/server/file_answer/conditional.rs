//! Requests that depend on what the client has already (RFC 9110, section 13).

use axum::http::HeaderMap;
use axum::http::header::{
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use headers::{
    ETag, Header, HeaderMapExt as _, IfMatch, IfModifiedSince, IfNoneMatch, IfRange,
    IfUnmodifiedSince,
};

use super::validators::Validators;

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The content is sent.
    Send,
    /// The client has it.
    NotModified,
    /// The client asked for other content.
    Failed,
}

/// Looks at the conditions in the order that section 13.2.2 gives. A condition that cannot be read
/// counts as not sent, except one that is there to protect: it fails.
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
        && !field.is_modified(modified)
    {
        return Verdict::NotModified;
    }
    Verdict::Send
}

/// Whether `Range` counts. With `If-Range` it does for exactly this content; a date never is
/// exact, because a file can change twice in a second.
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

/// A field that stands once; two of them could be read in two ways.
fn read<T: Header>(headers: &HeaderMap) -> Option<T> {
    headers.typed_get::<T>()
}

/// The entity tag in the form that is compared.
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
