//! Prepares a content block to be sent as a stream or as JSON.
//!
//! Placeholders are replaced and the text is cut into deltas once, here; a stream and a JSON
//! message are then made from the same thing and cannot differ.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{block::Block, wire::Delta};

/// Replaced by the CLI's working directory in the inputs of tools.
const CWD: &str = "{{cwd}}";

/// A content block in all its forms.
pub(crate) struct Ready {
    pub(crate) start: Value,
    pub(crate) deltas: Vec<Delta>,
    pub(crate) gap: Duration,
    pub(crate) whole: Value,
}

/// Makes a block ready; `id` becomes part of a tool call's own.
pub(crate) fn ready(block: &Block, cwd: &str, id: &str) -> Ready {
    match block {
        Block::Text { text, chunk_chars, delay_ms } => {
            text_block(pieces(text, *chunk_chars), Duration::from_millis(*delay_ms))
        }
        Block::Emit { count, bytes, interval_us } => {
            let text: String = "scripted ".chars().cycle().take(*bytes).collect();
            text_block(vec![text; *count], Duration::from_micros(*interval_us))
        }
        Block::Thinking { thinking, chunk_chars, delay_ms } => {
            let signature = "scripted".to_owned();
            let whole = json!({"type": "thinking", "thinking": thinking, "signature": &signature});
            let deltas = pieces(thinking, *chunk_chars)
                .into_iter()
                .map(|thinking| Delta::Thinking { thinking })
                .chain([Delta::Signature { signature }])
                .collect();
            Ready {
                start: json!({"type": "thinking", "thinking": "", "signature": ""}),
                deltas,
                gap: Duration::from_millis(*delay_ms),
                whole,
            }
        }
        Block::ToolUse { name, input, chunk_chars, delay_ms } => {
            let id = format!("toolu_{id}");
            let input = with_cwd(input, cwd);
            // The real API's first piece of an input is empty.
            let deltas = [String::new()]
                .into_iter()
                .chain(pieces(&input_json(&input), *chunk_chars))
                .map(|partial_json| Delta::InputJson { partial_json })
                .collect();
            Ready {
                start: json!({"type": "tool_use", "id": id, "name": name, "input": {}}),
                deltas,
                gap: Duration::from_millis(*delay_ms),
                whole: json!({"type": "tool_use", "id": id, "name": name, "input": input}),
            }
        }
    }
}

fn text_block(pieces: Vec<String>, gap: Duration) -> Ready {
    Ready {
        start: json!({"type": "text", "text": ""}),
        whole: json!({"type": "text", "text": pieces.concat()}),
        deltas: pieces.into_iter().map(|text| Delta::Text { text }).collect(),
        gap,
    }
}

fn pieces(text: &str, chunk_chars: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(chunk_chars.max(1)).map(|chunk| chunk.iter().collect()).collect()
}

/// The input as JSON, short values first. A model writes `file_path` before `content`, and
/// readers of partial input count on that, while a `Value` sorts its keys by name.
fn input_json(input: &Value) -> String {
    let Value::Object(fields) = input else {
        return input.to_string();
    };
    let mut fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| (json!(name).to_string(), value.to_string())).collect();
    fields.sort_by_key(|(_, value)| value.len());
    let fields: Vec<String> =
        fields.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn with_cwd(value: &Value, cwd: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(CWD, cwd)),
        Value::Array(items) => items.iter().map(|item| with_cwd(item, cwd)).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, item)| (name.clone(), with_cwd(item, cwd)))
                .collect::<Map<_, _>>(),
        ),
        other => other.clone(),
    }
}

/// The bytes of text in a delta, for counting.
pub(crate) fn size(delta: &Delta) -> usize {
    match delta {
        Delta::Text { text } => text.len(),
        Delta::Thinking { thinking } => thinking.len(),
        Delta::Signature { .. } => 0,
        Delta::InputJson { partial_json } => partial_json.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_comes_last_in_an_input() {
        let json = input_json(&json!({"content": "a long text", "file_path": "/a"}));
        assert_eq!(json, r#"{"file_path":"/a","content":"a long text"}"#);
    }
}
