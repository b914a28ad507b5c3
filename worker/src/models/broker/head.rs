//! Checks the head of a request before its body is read, and makes the headers that are forwarded.

use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT,
    HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, USER_AGENT,
};
use hyper::{Method, StatusCode, Uri};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::answer::Refusal;
use super::{Dialect, body};
use crate::types::Secret;

const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The version of the API for which requests are checked.
const KNOWN_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The longest `User-Agent` that is forwarded, in bytes.
const MAX_USER_AGENT_BYTES: usize = 256;
/// What the CLI asks for with every request to Vertex, although it has no such tool here. Without it the
/// API reads the same body in the same way, as tools that run on its servers are refused.
const UNUSED_BETA: &str = "web-search-2025-03-05";
/// Longest name of a beta that an answer repeats, in bytes.
const MAX_BETA_BYTES: usize = 64;

/// The operation that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A request of the CLI at its start that only checks whether the API can be reached. The
    /// broker answers it itself.
    Hello,
    /// A request for a message of the model.
    Messages,
    /// A request to count tokens, which the API does not charge for.
    CountTokens,
}

/// The parts of an address of Vertex around the model's name. The CLI gets a project's name that
/// means nothing; the real one is put in when a request is forwarded.
const VERTEX_PATH: &str = "/v1/projects/dreamcore/locations/global/publishers/anthropic/models/";
/// Stands there in the model's place where tokens are counted.
const VERTEX_COUNTER: &str = "count-tokens";
/// Longest name of a model, in bytes.
const MAX_MODEL_BYTES: usize = 128;

/// What a request asks for, by its method and address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) operation: Operation,
    /// The model that the address names.
    pub(super) model: Option<String>,
}

impl Route {
    /// The route that method and address name, if it is one that is served.
    pub(super) fn of(method: &Method, uri: &Uri, dialect: Dialect) -> Option<Self> {
        let plain = |operation| Some(Self { operation, model: None });
        if matches!((method.as_str(), uri.path()), ("HEAD" | "GET", "/" | "/api/hello")) {
            return plain(Operation::Hello);
        }
        if method != Method::POST {
            return None;
        }
        let is_bare = matches!(uri.query(), None | Some(""));
        match (dialect, uri.path()) {
            (Dialect::Anthropic, path) if is_bare || uri.query() == Some("beta=true") => match path
            {
                "/v1/messages" => plain(Operation::Messages),
                "/v1/messages/count_tokens" => plain(Operation::CountTokens),
                _ => None,
            },
            (Dialect::Vertex, path) if is_bare => {
                let (model, method) = path.strip_prefix(VERTEX_PATH)?.split_once(':')?;
                match (model, method) {
                    (VERTEX_COUNTER, "rawPredict") => plain(Operation::CountTokens),
                    (VERTEX_COUNTER, _) => None,
                    (_, "rawPredict" | "streamRawPredict") if is_model(model) => {
                        let model = Some(model.to_owned());
                        Some(Self { operation: Operation::Messages, model })
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// Whether a text can be a model's name. It becomes a part of another address, so it may hold nothing
/// that means something there.
pub(super) fn is_model(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._@".contains(&b);
    let starts_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    starts_well && name.len() <= MAX_MODEL_BYTES && name.bytes().all(allowed)
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

/// The announced length of the body, in bytes. Chunked bodies are refused, because they could come
/// in pieces of one byte, each with a header of its own.
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

/// Whether the sender waits for `100 Continue` before it sends the body.
pub(super) fn waits(headers: &HeaderMap) -> bool {
    headers.contains_key(EXPECT)
}

/// Makes the headers for the API. Of the sender's headers, only `User-Agent` and the allowed betas
/// are passed on.
pub(super) fn forwarded(from: &HeaderMap, allowed_betas: &[String]) -> Result<HeaderMap, Refusal> {
    if from.get_all(VERSION).iter().any(|version| version != KNOWN_VERSION) {
        return Err(Refusal::invalid("anthropic-version: only 2023-06-01 is served here"));
    }
    let mut to = HeaderMap::from_iter([
        (ACCEPT, JSON),
        // The tokens of a compressed answer could not be counted.
        (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        (CONTENT_TYPE, JSON),
        (VERSION, KNOWN_VERSION),
    ]);
    if let Some(betas) = betas(from, allowed_betas)? {
        to.insert(BETA, betas);
    }
    if let Some(program) = from.get(USER_AGENT).filter(|name| name.len() <= MAX_USER_AGENT_BYTES) {
        to.insert(USER_AGENT, program.clone());
    }
    Ok(to)
}

/// The betas that the request asks for. Refuses the request if one of them is not allowed: a beta
/// changes how the API reads a body, so the check of the body would mean nothing.
fn betas(from: &HeaderMap, allowed: &[String]) -> Result<Option<HeaderValue>, Refusal> {
    let mut asked: Vec<&str> = Vec::new();
    for value in from.get_all(BETA) {
        let value = value.to_str().unwrap_or("?");
        let names = value.split(',').map(str::trim);
        for name in names.filter(|name| !name.is_empty() && *name != UNUSED_BETA) {
            let Some(name) = allowed.iter().find(|allowed| *allowed == name) else {
                return Err(unexpected(name));
            };
            if !asked.contains(&name.as_str()) {
                asked.push(name);
            }
        }
    }
    // Names of allowed betas contain only characters that a header may contain.
    Ok(HeaderValue::from_str(&asked.join(",")).ok().filter(|value| !value.is_empty()))
}

/// The refusal of a beta, in the wording of the API's own error, after which the CLI leaves out
/// that beta and asks again.
fn unexpected(name: &str) -> Refusal {
    let name = if is_beta(name) { name } else { "?" };
    tracing::warn!(beta = name, "refused a beta that DREAMCORE_ALLOWED_BETAS does not name");
    Refusal::invalid(format!("Unexpected value(s) `{name}` for the `anthropic-beta` header"))
}

/// Whether a name has the form of the API's names of betas.
fn is_beta(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    name.len() <= MAX_BETA_BYTES && name.bytes().all(allowed)
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

    fn route(method: &str, uri: &str, dialect: Dialect) -> Option<Route> {
        Route::of(&method.parse().unwrap(), &uri.parse().unwrap(), dialect)
    }

    fn operation(method: &str, uri: &str) -> Option<Operation> {
        route(method, uri, Dialect::Anthropic).map(|route| route.operation)
    }

    #[test]
    fn of_vertex_it_serves_the_same_and_reads_the_model_from_the_address() {
        let of = |path: &str| route("POST", &format!("{VERTEX_PATH}{path}"), Dialect::Vertex);
        let messages = |model: &str| {
            Some(Route { operation: Operation::Messages, model: Some(model.to_owned()) })
        };
        assert_eq!(of("claude-opus-5-5:streamRawPredict"), messages("claude-opus-5-5"));
        assert_eq!(of("claude-x@20250929:rawPredict"), messages("claude-x@20250929"));
        assert_eq!(of("count-tokens:rawPredict").unwrap().operation, Operation::CountTokens);
        for path in [
            "count-tokens:streamRawPredict",
            "claude-x:predict",
            "claude-x:rawPredict:rawPredict",
            "claude-x",
            ":rawPredict",
            "../../google/models/x:rawPredict",
            "%2e%2e:rawPredict",
            "claude-x/../y:rawPredict",
            "claude-x:rawPredict?x=1",
            "claude-x:rawPredict?beta=true",
            &format!("{}:rawPredict", "x".repeat(129)),
        ] {
            assert_eq!(of(path), None, "{path}");
        }
        let other = VERTEX_PATH.replace("dreamcore", "other");
        assert_eq!(route("POST", &format!("{other}claude-x:rawPredict"), Dialect::Vertex), None);
        assert_eq!(route("POST", "/v1/messages", Dialect::Vertex), None);
        assert_eq!(
            route("POST", &format!("{VERTEX_PATH}claude-x:rawPredict"), Dialect::Anthropic),
            None
        );
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

    #[test]
    fn forwards_headers_of_its_own_and_the_betas_that_are_allowed() {
        let allowed = ["a-2025-01-01", "b-2025-01-01"].map(str::to_owned);
        let sent = headers(&[
            ("anthropic-beta", "b-2025-01-01, a-2025-01-01"),
            ("anthropic-beta", ",b-2025-01-01"),
            ("anthropic-version", "2023-06-01"),
            ("user-agent", "claude-cli/2"),
            ("accept-encoding", "gzip, br"),
            ("content-type", "text/plain"),
            ("anthropic-workspace-id", "w"),
            ("x-api-key", "dreamcore-run-1"),
            ("cookie", "c"),
        ]);
        let expected = headers(&[
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("anthropic-beta", "b-2025-01-01,a-2025-01-01"),
            ("anthropic-version", "2023-06-01"),
            ("content-type", "application/json"),
            ("user-agent", "claude-cli/2"),
        ]);
        assert_eq!(forwarded(&sent, &allowed).unwrap(), expected);
        let bare = forwarded(&HeaderMap::new(), &allowed).unwrap();
        assert!(!bare.contains_key("anthropic-beta") && bare.contains_key("anthropic-version"));
    }

    #[test]
    fn refuses_a_beta_in_the_words_from_which_the_cli_learns() {
        let refused = |value: &str| {
            let refusal = forwarded(&headers(&[("anthropic-beta", value)]), &["a".to_owned()]);
            format!("{:?}", refusal.unwrap_err())
        };
        assert!(refused("a,files-api-2025-04-14,b").contains(
            "Unexpected value(s) `files-api-2025-04-14` for the `anthropic-beta` header"
        ));
        for odd in ["x y", "`", "<script>", &"b".repeat(65)] {
            assert!(refused(odd).contains("Unexpected value(s) `?`"), "{odd}");
        }
        let other = headers(&[("anthropic-version", "2099-01-01")]);
        assert!(forwarded(&other, &[]).is_err());
    }
}
