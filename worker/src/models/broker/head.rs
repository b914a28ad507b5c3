//! What the head of a request must look like before its body is read, and what of it is passed on.

use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HeaderMap,
    HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{Method, StatusCode, Uri};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::answer::Refusal;
use super::body;
use crate::types::Secret;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// A sign of life that the CLI asks for at its start; answered here.
    Hello,
    /// A message of the model.
    Messages,
    /// A count of tokens, free of charge.
    CountTokens,
}

impl Operation {
    /// The operation that method and path name, if it is one that is served.
    pub(super) fn of(method: &Method, uri: &Uri) -> Option<Self> {
        let known_query = matches!(uri.query(), None | Some("" | "beta=true"));
        match (method.as_str(), uri.path()) {
            ("HEAD" | "GET", "/" | "/api/hello") => Some(Self::Hello),
            ("POST", "/v1/messages") if known_query => Some(Self::Messages),
            ("POST", "/v1/messages/count_tokens") if known_query => Some(Self::CountTokens),
            _ => None,
        }
    }
}

/// Whether the request carries the run's token, compared without a hint of how much was right.
pub(super) fn has_token(headers: &HeaderMap, token: &Secret) -> bool {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .unwrap_or_default();
    let key = headers.get("x-api-key").map_or(&b""[..], |value| value.as_bytes());
    let expected = Sha256::digest(token.expose().as_bytes());
    let as_key = Sha256::digest(key).ct_eq(&expected);
    let as_bearer = Sha256::digest(bearer).ct_eq(&expected);
    (as_key | as_bearer).into()
}

/// How long the body is going to be, in bytes. A body in chunks could come in pieces of one byte, each
/// with a head of its own.
pub(super) fn body_length(headers: &HeaderMap) -> Result<usize, Refusal> {
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::invalid("encoded bodies are not read here"));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let Some(length) = length.filter(|_| !headers.contains_key(TRANSFER_ENCODING)) else {
        let message = "a body must say its length (content-length)";
        return Err(Refusal::new(StatusCode::LENGTH_REQUIRED, "invalid_request_error", message));
    };
    if length > body::MAX_BYTES {
        let message = "the request is larger than the API accepts";
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message));
    }
    Ok(length)
}

/// Whether the sender waits for a word before it sends the body.
pub(super) fn waits(headers: &HeaderMap) -> bool {
    headers.contains_key(EXPECT)
}

/// Headers of the CLI that the API gets to see.
const FORWARDED: [&str; 6] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "anthropic-dangerous-direct-browser-access",
    "content-type",
    "user-agent",
];

/// The headers that the API gets to see.
pub(super) fn forwarded(from: &HeaderMap) -> HeaderMap {
    let mut to = HeaderMap::new();
    for name in FORWARDED.map(HeaderName::from_static) {
        for value in from.get_all(&name) {
            to.append(&name, value.clone());
        }
    }
    // A compressed answer could not be counted.
    to.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    fn operation(method: &str, uri: &str) -> Option<Operation> {
        Operation::of(&method.parse().unwrap(), &uri.parse().unwrap())
    }

    #[test]
    fn serves_what_the_cli_needs_and_nothing_else() {
        assert_eq!(operation("POST", "/v1/messages?beta=true"), Some(Operation::Messages));
        assert_eq!(operation("POST", "/v1/messages/count_tokens"), Some(Operation::CountTokens));
        assert_eq!(operation("HEAD", "/api/hello"), Some(Operation::Hello));
        for (method, uri) in [
            ("GET", "/v1/messages"),
            ("POST", "/v1/messages/"),
            ("POST", "/v1/messages/batches"),
            ("POST", "/v1/messages/../files"),
            ("POST", "/v1/files"),
            ("POST", "/v1/messages?beta=true&x=1"),
            ("POST", "//v1/messages"),
            ("DELETE", "/v1/organizations"),
            ("CONNECT", "example.org:443"),
        ] {
            assert_eq!(operation(method, uri), None, "{method} {uri}");
        }
    }

    #[test]
    fn takes_the_token_as_key_or_bearer_and_no_other() {
        let token = Secret::new("dreamcore-run-1");
        assert!(has_token(&headers(&[("x-api-key", "dreamcore-run-1")]), &token));
        assert!(has_token(&headers(&[("authorization", "Bearer dreamcore-run-1")]), &token));
        for (name, value) in [
            ("x-api-key", ""),
            ("x-api-key", "dreamcore-run-2"),
            ("x-api-key", "dreamcore-run-11"),
            ("authorization", "dreamcore-run-1"),
            ("authorization", "Basic dreamcore-run-1"),
            ("cookie", "dreamcore-run-1"),
        ] {
            assert!(!has_token(&headers(&[(name, value)]), &token), "{name}: {value}");
        }
    }

    #[test]
    fn a_body_says_its_length_and_is_not_encoded() {
        assert_eq!(body_length(&headers(&[("content-length", "33554432")])).unwrap(), 32 << 20);
        for wrong in [
            &[][..],
            &[("transfer-encoding", "chunked")],
            &[("transfer-encoding", "chunked"), ("content-length", "9")],
            &[("content-length", "33554433")],
            &[("content-length", "99999999999999999999")],
            &[("content-length", "9"), ("content-encoding", "gzip")],
        ] {
            assert!(body_length(&headers(wrong)).is_err(), "{wrong:?}");
        }
    }
}
