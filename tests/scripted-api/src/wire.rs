//! The JSON and the server-sent events of Anthropic's Messages API, as far as they are answers.
//!
//! Typed rather than built with `json!`, because serde then keeps the fields in the order in
//! which the real API sends them (`type` first).

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

/// `content-type` of a stream.
pub(crate) const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";
/// `content-type` of everything else.
pub(crate) const JSON: &str = "application/json";

/// A message: whole in a JSON answer, without content in `message_start`.
#[derive(Serialize)]
pub(crate) struct Head<'a> {
    pub(crate) id: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) role: &'static str,
    pub(crate) model: &'a str,
    pub(crate) content: Vec<&'a Value>,
    pub(crate) stop_reason: Option<&'static str>,
    pub(crate) stop_sequence: Option<&'static str>,
    pub(crate) usage: Usage,
}

/// Token counts. They are estimates from sizes, but behave like real ones: the first request of a
/// conversation writes the cache and later ones read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Usage {
    pub(crate) input_tokens: usize,
    pub(crate) cache_creation_input_tokens: usize,
    pub(crate) cache_read_input_tokens: usize,
    pub(crate) cache_creation: CacheCreation,
    pub(crate) output_tokens: usize,
    pub(crate) service_tier: &'static str,
}

/// How long the written cache lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct CacheCreation {
    pub(crate) ephemeral_5m_input_tokens: usize,
    pub(crate) ephemeral_1h_input_tokens: usize,
}

/// One event of a stream.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    MessageStart { message: Head<'a> },
    Ping,
    ContentBlockStart { index: usize, content_block: &'a Value },
    ContentBlockDelta { index: usize, delta: &'a Delta },
    ContentBlockStop { index: usize },
    MessageDelta { delta: Stop, usage: OutputUsage },
    MessageStop,
    Error { error: ApiError<'a> },
}

/// A piece of a content block.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "signature_delta")]
    Signature { signature: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
}

/// Why the message ended.
#[derive(Serialize)]
pub(crate) struct Stop {
    pub(crate) stop_reason: &'static str,
    pub(crate) stop_sequence: Option<&'static str>,
}

/// The count that is known only at the end.
#[derive(Serialize)]
pub(crate) struct OutputUsage {
    pub(crate) output_tokens: usize,
}

/// The inner part of an error.
#[derive(Serialize)]
pub(crate) struct ApiError<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) message: &'a str,
}

impl Event<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::Ping => "ping",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
            Self::Error { .. } => "error",
        }
    }

    /// The event as it goes over the wire.
    pub(crate) fn frame(&self) -> Bytes {
        let data = to_json(self);
        let mut frame = Vec::with_capacity(data.len() + 48);
        frame.extend_from_slice(b"event: ");
        frame.extend_from_slice(self.name().as_bytes());
        frame.extend_from_slice(b"\ndata: ");
        frame.extend_from_slice(&data);
        frame.extend_from_slice(b"\n\n");
        frame.into()
    }
}

/// `{"type":"error",…}`, which is an answer's body as well as an event's data.
pub(crate) fn error_json(kind: &str, message: &str) -> Bytes {
    to_json(&Event::Error { error: ApiError { kind, message } })
}

/// The status that goes with an error type when it is not said in the middle of a stream.
pub(crate) fn status_of(error_type: &str) -> u16 {
    match error_type {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "overloaded_error" => 529,
        _ => 500,
    }
}

/// Serialises what cannot fail: every type here is plain data with string keys.
pub(crate) fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("plain data with string keys serialises").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_itself_twice_and_ends_with_an_empty_line() {
        assert_eq!(Event::Ping.frame(), "event: ping\ndata: {\"type\":\"ping\"}\n\n");
        let delta = Delta::Text { text: "a\nb".into() };
        assert_eq!(
            Event::ContentBlockDelta { index: 0, delta: &delta }.frame(),
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{\"type\":\"text_delta\",\"text\":\"a\\nb\"}}\n\n"
        );
    }

    #[test]
    fn an_error_has_the_form_that_clients_expect() {
        assert_eq!(
            error_json("not_found_error", "no"),
            r#"{"type":"error","error":{"type":"not_found_error","message":"no"}}"#
        );
    }
}
