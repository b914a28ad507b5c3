//! From a turn of a script to a message, whole or as events.
//!
//! A block is made ready once (placeholders replaced, cut into deltas); both forms of the answer,
//! a stream and a JSON message, are then read from the same thing and cannot differ.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    question::tokens,
    script::Block,
    wire::{self, Delta, Event, Head, OutputUsage, Stop, Usage},
};

/// Replaced by the CLI's working directory in the inputs of tools.
const CWD: &str = "{{cwd}}";

/// What a message is answered to; the parts of it that a script cannot know.
pub(crate) struct Context<'a> {
    /// Unique for each answer: the CLI merges messages with the same id.
    pub(crate) message_id: String,
    /// The model that the client asked for.
    pub(crate) model: &'a str,
    /// The CLI's working directory.
    pub(crate) cwd: Option<&'a str>,
    /// Input counts; the output count is added.
    pub(crate) usage: Usage,
}

/// An answer, ready to be sent in either form.
pub(crate) struct Message {
    id: String,
    model: String,
    blocks: Vec<Ready>,
    stop_reason: &'static str,
    usage: Usage,
}

/// A content block in all its forms.
struct Ready {
    start: Value,
    deltas: Vec<Delta>,
    gap: Duration,
    whole: Value,
}

/// An event, and how long after the one before it is due.
pub(crate) struct Timed {
    pub(crate) gap: Duration,
    pub(crate) frame: Bytes,
}

impl Message {
    /// The answer of a turn with these blocks.
    pub(crate) fn new(blocks: &[Block], context: Context<'_>) -> Self {
        let cwd = context.cwd.unwrap_or(".");
        let id = context.message_id;
        let blocks: Vec<Ready> = blocks
            .iter()
            .enumerate()
            .map(|(index, block)| ready(block, cwd, &format!("{id}_{index}")))
            .collect();
        let is_tool_use = |ready: &Ready| ready.whole["type"] == "tool_use";
        let stop_reason = if blocks.iter().any(is_tool_use) {
            "tool_use"
        } else {
            "end_turn"
        };
        let output: usize = blocks
            .iter()
            .flat_map(|ready| &ready.deltas)
            .map(size)
            .sum();
        let usage = Usage {
            output_tokens: tokens(output).max(1),
            ..context.usage
        };
        Self {
            id,
            model: context.model.to_owned(),
            blocks,
            stop_reason,
            usage,
        }
    }

    /// The JSON of an answer that does not stream.
    pub(crate) fn json(&self) -> Bytes {
        wire::to_json(&self.head(
            self.blocks.iter().map(|block| &block.whole).collect(),
            Some(self.stop_reason),
            self.usage.output_tokens,
        ))
    }

    /// The events of an answer that streams.
    pub(crate) fn events(&self) -> Vec<Timed> {
        let mut events = Vec::new();
        let mut push = |gap: Duration, event: &Event<'_>| {
            events.push(Timed {
                gap,
                frame: event.frame(),
            });
        };
        let now = Duration::ZERO;
        push(
            now,
            &Event::MessageStart {
                message: self.head(Vec::new(), None, 1),
            },
        );
        push(now, &Event::Ping);
        for (index, block) in self.blocks.iter().enumerate() {
            push(
                now,
                &Event::ContentBlockStart {
                    index,
                    content_block: &block.start,
                },
            );
            for delta in &block.deltas {
                push(block.gap, &Event::ContentBlockDelta { index, delta });
            }
            push(now, &Event::ContentBlockStop { index });
        }
        let delta = Stop {
            stop_reason: self.stop_reason,
            stop_sequence: None,
        };
        let usage = OutputUsage {
            output_tokens: self.usage.output_tokens,
        };
        push(now, &Event::MessageDelta { delta, usage });
        push(now, &Event::MessageStop);
        events
    }

    fn head<'a>(
        &'a self,
        content: Vec<&'a Value>,
        stop_reason: Option<&'static str>,
        output_tokens: usize,
    ) -> Head<'a> {
        Head {
            id: &self.id,
            kind: "message",
            role: "assistant",
            model: &self.model,
            content,
            stop_reason,
            stop_sequence: None,
            usage: Usage {
                output_tokens,
                ..self.usage
            },
        }
    }
}

fn ready(block: &Block, cwd: &str, id: &str) -> Ready {
    match block {
        Block::Text {
            text,
            chunk_chars,
            delay_ms,
        } => text_block(pieces(text, *chunk_chars), Duration::from_millis(*delay_ms)),
        Block::Emit {
            count,
            bytes,
            interval_us,
        } => {
            let text: String = "scripted ".chars().cycle().take(*bytes).collect();
            text_block(vec![text; *count], Duration::from_micros(*interval_us))
        }
        Block::Thinking {
            thinking,
            chunk_chars,
            delay_ms,
        } => {
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
        Block::ToolUse {
            name,
            input,
            chunk_chars,
            delay_ms,
        } => {
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
        deltas: pieces
            .into_iter()
            .map(|text| Delta::Text { text })
            .collect(),
        gap,
    }
}

fn pieces(text: &str, chunk_chars: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars
        .chunks(chunk_chars.max(1))
        .map(|chunk| chunk.iter().collect())
        .collect()
}

/// The input as JSON, short values first. A model writes `file_path` before `content`, and
/// readers of partial input count on that, while a `Value` sorts its keys by name.
fn input_json(input: &Value) -> String {
    let Value::Object(fields) = input else {
        return input.to_string();
    };
    let mut fields: Vec<(String, String)> = fields
        .iter()
        .map(|(name, value)| (json!(name).to_string(), value.to_string()))
        .collect();
    fields.sort_by_key(|(_, value)| value.len());
    let fields: Vec<String> = fields
        .into_iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
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

fn size(delta: &Delta) -> usize {
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
    use crate::script::{emit, text, thinking, tool};

    fn message(blocks: &[Block]) -> Message {
        Message::new(
            blocks,
            Context {
                message_id: "msg_1".into(),
                model: "claude-x",
                cwd: Some("/p"),
                usage: Usage {
                    input_tokens: 7,
                    ..Usage::default()
                },
            },
        )
    }

    fn data(message: &Message) -> Vec<Value> {
        let of = |timed: Timed| {
            let frame = String::from_utf8(timed.frame.to_vec()).unwrap();
            let (_, data) = frame.split_once("\ndata: ").unwrap();
            serde_json::from_str(data).unwrap()
        };
        message.events().into_iter().map(of).collect()
    }

    #[test]
    fn a_text_streams_in_the_order_of_the_real_api() {
        let data = data(&message(&[text("あいう").chunk_chars(2)]));
        let types: Vec<_> = data
            .iter()
            .map(|event| event["type"].as_str().unwrap())
            .collect();
        assert_eq!(
            types,
            [
                "message_start",
                "ping",
                "content_block_start",
                "content_block_delta",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop"
            ]
        );
        assert_eq!(data[0]["message"]["usage"]["input_tokens"], 7);
        assert_eq!(data[0]["message"]["content"], json!([]));
        assert_eq!(
            data[3]["delta"],
            json!({"type": "text_delta", "text": "あい"})
        );
        assert_eq!(data[6]["delta"]["stop_reason"], "end_turn");
        assert_eq!(data[6]["usage"]["output_tokens"], 3);
    }

    #[test]
    fn a_tool_call_is_the_same_streamed_and_whole() {
        let input =
            json!({"file_path": "{{cwd}}/a", "content": "x{{cwd}}\n\"", "n": [1, "{{cwd}}"]});
        let message = message(&[text("t"), tool("Write", input).chunk_chars(3)]);
        let streamed: String = data(&message)
            .iter()
            .filter_map(|event| event["delta"]["partial_json"].as_str())
            .collect();
        let expected = json!({"file_path": "/p/a", "content": "x/p\n\"", "n": [1, "/p"]});
        assert_eq!(serde_json::from_str::<Value>(&streamed).unwrap(), expected);

        let whole: Value = serde_json::from_slice(&message.json()).unwrap();
        assert_eq!(whole["content"][1]["input"], expected);
        assert_eq!(whole["stop_reason"], "tool_use");
        assert_eq!(whole["usage"]["input_tokens"], 7);
    }

    #[test]
    fn a_long_value_comes_last_in_an_input() {
        let json = input_json(&json!({"content": "a long text", "file_path": "/a"}));
        assert_eq!(json, r#"{"file_path":"/a","content":"a long text"}"#);
    }

    #[test]
    fn thinking_ends_with_a_signature() {
        let data = data(&message(&[thinking("hm")]));
        assert_eq!(
            data[3]["delta"],
            json!({"type": "thinking_delta", "thinking": "hm"})
        );
        assert_eq!(data[4]["delta"]["type"], "signature_delta");
    }

    #[test]
    fn emit_makes_so_many_deltas_of_that_size() {
        let data = data(&message(&[emit(3, 20)]));
        let sizes: Vec<_> = data
            .iter()
            .filter_map(|event| event["delta"]["text"].as_str())
            .map(str::len)
            .collect();
        assert_eq!(sizes, [20, 20, 20]);
    }

    #[test]
    fn a_delay_belongs_to_each_delta() {
        let gaps: Vec<_> = message(&[text("abc").chunk_chars(1).delay_ms(5)])
            .events()
            .iter()
            .map(|timed| timed.gap.as_millis())
            .collect();
        assert_eq!(gaps, [0, 0, 0, 5, 5, 5, 0, 0, 0]);
    }
}
