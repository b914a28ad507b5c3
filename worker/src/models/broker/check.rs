//! Which requests of a sandbox are forwarded.
//!
//! Whoever holds the token can send anything, not only what the CLI sends. So the request must name
//! an allowed model, and it must not make the API's own machines fetch pages, run code or talk to
//! other servers on its behalf: that would be a way out of a sandbox that has no network.

use serde::Deserialize;

use super::content::Content;

/// What the broker must know of a request.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    model: String,
    /// Whether the answer comes as events.
    #[serde(default)]
    pub(super) stream: bool,
    /// The most tokens that the model may write, if the request says so.
    pub(super) max_tokens: Option<u64>,
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
