//! The broker's check of a request from a sandbox: it does not panic, uses little memory, gives
//! short reasons, and lets no request through that would make the API fetch or run something.

use dreamcore_worker::models::broker::{Form, Request};
use serde_json::{Map, Value};

use crate::growth_of;

/// The largest body that the broker takes. Most bodies here are much smaller, because many
/// different bodies find more than few long ones.
const LARGEST_BYTES: usize = 1 << 25;
/// How much memory reading a body may take in addition to the body: a copy of the longest text in
/// it, and a little more.
const MAX_GROWTH_BYTES: u64 = 40 << 20;
/// Bodies up to this size are also parsed into JSON values, to compare.
const MAX_COMPARED_BYTES: usize = 1 << 16;
/// The longest reason of a refusal, in bytes.
const MAX_REASON_BYTES: usize = 400;

/// Every field that may be at the top level of a request.
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

/// Checks a body that is made from the input. The first byte gives its size: up to 16 as a power of
/// two, 255 for the largest. The second and third byte give the lengths of the two parts that
/// follow, and the second part is repeated until the body has its size.
///
/// # Panics
///
/// If a promise is broken.
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
    let form = Form::Anthropic;
    let (result, growth) = growth_of(|| Request::parse(&body, form, &models));
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

/// Whether the API would fetch or run nothing for a request with this value.
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
