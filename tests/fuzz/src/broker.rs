//! The broker's look at a request of a sandbox: no panic, little memory, short reasons, and nothing
//! that leads elsewhere gets through.

use dreamcore_worker::models::broker::Request;
use serde_json::{Map, Value};

use crate::growth_of;

/// Largest body that the broker takes. Most that are made are much smaller, as time is better spent
/// on other ones than on longer ones.
const LARGEST_BYTES: usize = 1 << 25;
/// What reading a body may take beside the body: a copy of the longest text in it, and a little more.
const MAX_GROWTH_BYTES: u64 = 40 << 20;
/// Bodies up to this size are read a second time, into values.
const MAX_COMPARED_BYTES: usize = 1 << 16;
/// Longest reason of a refusal, in bytes.
const MAX_REASON_BYTES: usize = 400;

/// Everything that may stand at the top of a request.
const FIELDS: &[&str] = &[
    "cache_control",
    "context_management",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "output_format",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

/// The first byte says how large the body is: up to 16 as a power of two, 255 for the largest. The
/// second and third say how long the two next parts are, the second of which is repeated until the
/// body is that large.
///
/// # Panics
///
/// Where a promise is broken.
pub fn broker(data: &[u8]) {
    let [power, first, second, parts @ ..] = data else {
        return;
    };
    let (before, parts) = parts.split_at(usize::from(*first).min(parts.len()));
    let (unit, after) = parts.split_at(usize::from(*second).min(parts.len()));
    let size = if *power == u8::MAX { LARGEST_BYTES } else { 1 << (power % 17) };
    let count = size.saturating_sub(before.len() + after.len()) / unit.len().max(1);
    let mut body = Vec::with_capacity(before.len() + count * unit.len() + after.len());
    body.extend_from_slice(before);
    for _ in 0..count {
        body.extend_from_slice(unit);
    }
    body.extend_from_slice(after);
    let models = ["claude-".to_owned()];
    let (result, growth) = growth_of(|| Request::parse(&body, &models));
    assert!(growth <= MAX_GROWTH_BYTES, "reading {} bytes took {growth} more", body.len());
    match result {
        Err(reason) => assert!(reason.len() <= MAX_REASON_BYTES, "{} bytes", reason.len()),
        Ok(_) if body.len() <= MAX_COMPARED_BYTES => {
            let value: Value = serde_json::from_slice(&body).expect("it was read once");
            assert_harmless(value.as_object().expect("a request is an object"));
        }
        Ok(_) => {}
    }
}

fn assert_harmless(request: &Map<String, Value>) {
    for name in request.keys() {
        assert!(FIELDS.contains(&name.as_str()), "{name} got through");
    }
    assert!(request["model"].as_str().expect("a model").starts_with("claude-"));
    for tool in request.get("tools").and_then(Value::as_array).into_iter().flatten() {
        let kind = tool.get("type").map_or("custom", |kind| kind.as_str().expect("a type"));
        assert_eq!(kind, "custom", "a tool of the API's got through");
    }
    for name in ["messages", "system"] {
        assert!(request.get(name).is_none_or(is_harmless), "{name} got through");
    }
}

/// Whether the API fetches and runs nothing for it.
fn is_harmless(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(is_harmless),
        Value::Object(object) => {
            let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
            let source = object.get("source").and_then(Value::as_object);
            let source = source.map(|source| source.get("type").and_then(Value::as_str));
            let remote = ["url", "file", "container_upload", "tool_definition"];
            !remote.contains(&kind)
                && source.is_none_or(|kind| matches!(kind, Some("base64" | "text" | "content")))
                && object.iter().all(|(key, value)| {
                    (key == "input" && kind == "tool_use") || is_harmless(value)
                })
        }
        _ => true,
    }
}
