//! Rewrites a body into the form of the provider that is asked. Nothing is copied: the forwarded
//! body consists of slices of the received one and of a few inserted bytes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::check::Request;
use super::head::Operation;
use crate::models::ProviderKind;

/// The body for `provider`, with the provider's name of the model. The name needs no escaping.
pub fn rewritten(
    body: &Bytes,
    request: &Request,
    operation: Operation,
    provider: ProviderKind,
    model: &str,
) -> Pieces {
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let named = format!(r#""model":"{model}""#);
    match (&request.version_at, &request.model_at, operation) {
        // A request to count tokens has the model in its body with both providers.
        (Some(version), Some(of_model), Operation::CountTokens) => {
            if provider == ProviderKind::Anthropic {
                edits.push((with_comma(body, version), String::new()));
            }
            edits.push((of_model.clone(), named));
        }
        (Some(version), _, _) if provider == ProviderKind::Anthropic => {
            edits.push((version.clone(), named));
        }
        _ => {}
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut parts = VecDeque::new();
    let mut from = 0;
    for (range, text) in edits {
        parts.push_back(body.slice(from..range.start.max(from)));
        parts.push_back(Bytes::from(text));
        from = range.end.max(from);
    }
    parts.push_back(body.slice(from..));
    parts.retain(|part| !part.is_empty());
    Pieces { parts }
}

/// The range of a field together with its comma: the one after the field, or the one before it if
/// it is the last.
fn with_comma(body: &[u8], field: &Range<usize>) -> Range<usize> {
    let is_space = |byte: &u8| byte.is_ascii_whitespace();
    let behind = body.get(field.end..).unwrap_or_default();
    let spaces = behind.iter().take_while(|byte| is_space(byte)).count();
    if behind.get(spaces) == Some(&b',') {
        return field.start..field.end + spaces + 1;
    }
    let before = body.get(..field.start).unwrap_or_default();
    let spaces = before.iter().rev().take_while(|byte| is_space(byte)).count();
    match before.len().checked_sub(spaces + 1) {
        Some(comma) if before.get(comma) == Some(&b',') => comma..field.end,
        _ => field.clone(),
    }
}

/// A body in pieces, whose length is known.
#[derive(Debug)]
pub struct Pieces {
    parts: VecDeque<Bytes>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.parts.pop_front().map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.parts.iter().map(|part| part.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::check::Form;
    use super::*;

    /// The body that a provider gets. Also checks the announced length.
    fn sent(body: &str, operation: Operation, provider: ProviderKind) -> Value {
        let in_address = (operation == Operation::Messages).then_some("claude-x@20250929");
        let form = Form::Vertex { model: in_address };
        let request = Request::parse(body.as_bytes(), form, &["claude-".to_owned()]).unwrap();
        let body = Bytes::from(body.to_owned());
        let pieces = rewritten(&body, &request, operation, provider, "claude-y");
        let length = pieces.size_hint().exact().unwrap();
        let whole: Vec<u8> = pieces.parts.into_iter().flatten().collect();
        assert_eq!(whole.len() as u64, length);
        serde_json::from_slice(&whole).expect("it is JSON")
    }

    #[test]
    fn a_message_for_anthropic_names_its_model_in_the_body() {
        let version = r#""anthropic_version":"vertex-2023-10-16""#;
        let deep = r#""messages":[{"anthropic_version":"vertex-2023-10-16","model":"m"}]"#;
        for body in [
            format!("{{{version}}}"),
            format!("{{{version},{deep}}}"),
            format!("{{{deep} , {version}\n}}"),
            format!(r#"{{"max_tokens":1,{version},{deep}}}"#),
        ] {
            let mut expected: Value = serde_json::from_str(&body).unwrap();
            let at_vertex = sent(&body, Operation::Messages, ProviderKind::Vertex);
            assert_eq!(at_vertex, expected, "nothing is changed");
            expected.as_object_mut().unwrap().remove("anthropic_version");
            expected["model"] = json!("claude-y");
            assert_eq!(sent(&body, Operation::Messages, ProviderKind::Anthropic), expected);
        }
    }

    #[test]
    fn a_count_of_tokens_names_its_model_in_the_body_for_both() {
        let version = r#""anthropic_version" : "vertex-2023-10-16""#;
        let model = r#""model": "claude-x@20250929""#;
        let messages = r#""messages":[]"#;
        for body in [
            format!("{{{version},{model}, {messages}}}"),
            format!("{{{model}, {version} , {messages}}}"),
            format!("{{{messages},{model} ,\n{version} }}"),
            format!("{{{model},{messages},{version}}}"),
        ] {
            let at_anthropic = sent(&body, Operation::CountTokens, ProviderKind::Anthropic);
            assert_eq!(at_anthropic, json!({ "model": "claude-y", "messages": [] }), "{body}");
            let at_vertex = sent(&body, Operation::CountTokens, ProviderKind::Vertex);
            assert_eq!(
                at_vertex,
                json!({ "anthropic_version": "vertex-2023-10-16", "model": "claude-y", "messages": [] })
            );
        }
    }
}
