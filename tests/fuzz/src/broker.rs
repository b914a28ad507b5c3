//! The broker's check of a request from a sandbox, in the forms of both providers: it does not
//! panic, uses little memory, gives short reasons, and lets no request through that would make the
//! API fetch or run something. A request that was let through is still such a request when it has
//! been rewritten for the other provider.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::Bytes;
use dreamcore_worker::models::ProviderKind;
use dreamcore_worker::models::broker::{Form, Operation, Request, rewritten};
use http_body_util::BodyExt as _;
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

/// A model as an address of Vertex AI names it.
const IN_ADDRESS: &str = "claude-x@20250929";
/// The name by which a provider calls the model that is asked.
const OF_PROVIDER: &str = "claude-y";
/// The field that only bodies in the form of Vertex AI have.
const VERSION: &str = "anthropic_version";

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
    let body = Bytes::from(body);
    check(&body, Form::Anthropic);
    check(&body, Form::Vertex { model: None });
    check(&body, Form::Vertex { model: Some(IN_ADDRESS) });
    if let Ok(model) = std::str::from_utf8(unit) {
        check_address(&body, model);
    }
}

/// Reads a body, in bounded memory.
fn parse(body: &[u8], form: Form<'_>) -> Result<Request, String> {
    let models = ["claude-".to_owned()];
    let (result, growth) = growth_of(|| Request::parse(body, form, &models));
    assert!(growth <= MAX_GROWTH_BYTES, "reading {} bytes took {growth} more", body.len());
    result
}

/// Checks a body that was sent in this form.
fn check(body: &Bytes, form: Form<'_>) {
    match parse(body, form) {
        Err(reason) => assert!(reason.len() <= MAX_REASON_BYTES, "{} bytes", reason.len()),
        Ok(request) if body.len() <= MAX_COMPARED_BYTES => {
            assert_harmless(body, form);
            if form != Form::Anthropic {
                check_rewritten(body, &request, form);
            }
        }
        Ok(_) => {}
    }
}

/// A model from an address becomes a part of another address, so it must hold nothing that means
/// something there.
fn check_address(body: &[u8], model: &str) {
    if parse(body, Form::Vertex { model: Some(model) }).is_ok() {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._@".contains(&byte);
        assert!(model.starts_with("claude-") && model.bytes().all(is_plain), "{model}");
    }
}

/// Checks what either provider gets for a body in the form of Vertex AI.
fn check_rewritten(body: &Bytes, request: &Request, form: Form<'_>) {
    let names_model = form == Form::Vertex { model: None };
    let operation = if names_model { Operation::CountTokens } else { Operation::Messages };
    for (provider, sent_as) in
        [(ProviderKind::Vertex, form), (ProviderKind::Anthropic, Form::Anthropic)]
    {
        let pieces = rewritten(body, request, operation, provider, OF_PROVIDER);
        let Poll::Ready(Ok(whole)) =
            pin!(pieces.collect()).poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("a body in memory is there at once");
        };
        let whole = whole.to_bytes();
        // Reading it once more shows that no field is there twice.
        let again = parse(&whole, sent_as);
        assert!(again.is_ok(), "{again:?}: {}", String::from_utf8_lossy(&whole));
        assert_harmless(&whole, sent_as);
        let mut expected = object(body);
        if provider == ProviderKind::Anthropic {
            expected.remove(VERSION);
        }
        if provider == ProviderKind::Anthropic || names_model {
            expected.insert("model".to_owned(), OF_PROVIDER.into());
        }
        assert_eq!(object(&whole), expected);
    }
}

fn object(body: &[u8]) -> Map<String, Value> {
    let value: Value = serde_json::from_slice(body).expect("it was read once");
    value.as_object().expect("a request is an object").clone()
}

fn assert_harmless(body: &[u8], form: Form<'_>) {
    let request = object(body);
    let has_version = form != Form::Anthropic;
    for name in request.keys() {
        let is_known = FIELDS.contains(&name.as_str()) || (has_version && name == VERSION);
        assert!(is_known, "{name} got through");
    }
    if has_version {
        assert_eq!(request[VERSION], "vertex-2023-10-16");
    }
    if matches!(form, Form::Vertex { model: Some(_) }) {
        assert!(!request.contains_key("model"), "a second model got through");
    } else {
        assert!(request["model"].as_str().expect("a model").starts_with("claude-"));
    }
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
