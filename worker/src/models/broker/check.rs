//! Which requests of a sandbox are forwarded.
//!
//! Whoever holds the token can send anything, not only what the CLI sends. So the request must name
//! an allowed model, and it must not make the API's own machines fetch pages, run code or talk to
//! other servers on its behalf: that would be a way out of a sandbox that has no network.

use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::{Method, Uri};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::content::Content;
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

/// What the broker must know of a request.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    model: String,
    /// Whether the answer comes as events.
    #[serde(default)]
    pub(super) stream: bool,
    #[serde(default)]
    tools: Vec<Tool>,
    #[serde(default)]
    messages: Content,
    #[serde(default)]
    system: Content,
    #[serde(default)]
    mcp_servers: Option<serde_json::Value>,
    #[serde(default)]
    container: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Request {
    /// Reads a request and refuses what must not be forwarded, with the reason.
    pub(super) fn parse(body: &[u8], allowed_models: &[String]) -> Result<Self, String> {
        let request: Self =
            serde_json::from_slice(body).map_err(|error| format!("not a request: {error}"))?;
        if !allowed_models.iter().any(|prefix| request.model.starts_with(prefix.as_str())) {
            return Err("this model is not allowed here".to_owned());
        }
        // A tool with a type is one that the API's servers carry out themselves.
        if request.tools.iter().any(|tool| tool.kind.as_deref().unwrap_or("custom") != "custom") {
            return Err("tools that run on the API's servers are not allowed here".to_owned());
        }
        if request.mcp_servers.is_some() || request.container.is_some() {
            return Err("remote servers and containers are not allowed here".to_owned());
        }
        if request.messages.is_remote || request.system.is_remote {
            return Err("content that the API fetches itself is not allowed here".to_owned());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let headers = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
        };
        assert!(has_token(&headers("x-api-key", "dreamcore-run-1"), &token));
        assert!(has_token(&headers("authorization", "Bearer dreamcore-run-1"), &token));
        for (name, value) in [
            ("x-api-key", ""),
            ("x-api-key", "dreamcore-run-2"),
            ("x-api-key", "dreamcore-run-11"),
            ("authorization", "dreamcore-run-1"),
            ("authorization", "Basic dreamcore-run-1"),
            ("cookie", "dreamcore-run-1"),
        ] {
            assert!(!has_token(&headers(name, value), &token), "{name}: {value}");
        }
    }

    #[test]
    fn refuses_models_and_tools_that_lead_elsewhere() {
        let allowed = ["claude-".to_owned()];
        let parse = |text: &str| Request::parse(text.as_bytes(), &allowed);
        assert!(
            parse(r#"{"model":"claude-x","tools":[{"name":"Bash"}],"stream":true}"#)
                .unwrap()
                .stream
        );
        assert!(parse(r#"{"model":"claude-x","tools":[{"type":"custom","name":"a"}]}"#).is_ok());
        for text in [
            "",
            "[]",
            "{}",
            r#"{"model":"gpt-x"}"#,
            r#"{"model":1}"#,
            r#"{"model":"claude-x","tools":[{"type":"web_fetch_20250910","name":"web_fetch"}]}"#,
            r#"{"model":"claude-x","tools":[{"type":"code_execution_20250825"}]}"#,
            r#"{"model":"claude-x","mcp_servers":[{"url":"https://example.org"}]}"#,
            r#"{"model":"claude-x","container":"c"}"#,
            r#"{"model":"claude-x","messages":[{"content":[{"source":{"type":"url"}}]}]}"#,
            r#"{"model":"claude-x","system":[{"source":{"type":"file"}}]}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
