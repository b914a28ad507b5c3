//! Makes a message from a turn of a script, whole or as events.
//!
//! The events have the order of the real API: start, ping, blocks, stop reason, stop.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::{
    block::Block,
    question::tokens,
    ready::{Ready, ready, size},
    wire::{self, Event, Head, OutputUsage, Stop, Usage},
};

/// The parts of an answer that depend on the request and not on the script.
pub(crate) struct Context<'a> {
    /// Unique for each answer: the CLI merges messages with the same id.
    pub(crate) message_id: String,
    /// The model that the client asked for.
    pub(crate) model: &'a str,
    /// The CLI's working directory.
    pub(crate) cwd: Option<&'a str>,
    /// The token counts of the input. The count of the output is added.
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

/// An event, and how long after the event before it is sent.
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
        let stop_reason = if blocks.iter().any(is_tool_use) { "tool_use" } else { "end_turn" };
        let output: usize = blocks.iter().flat_map(|ready| &ready.deltas).map(size).sum();
        let usage = Usage { output_tokens: tokens(output).max(1), ..context.usage };
        Self { id, model: context.model.to_owned(), blocks, stop_reason, usage }
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
            events.push(Timed { gap, frame: event.frame() });
        };
        let now = Duration::ZERO;
        push(now, &Event::MessageStart { message: self.head(Vec::new(), None, 1) });
        push(now, &Event::Ping);
        for (index, block) in self.blocks.iter().enumerate() {
            push(now, &Event::ContentBlockStart { index, content_block: &block.start });
            for delta in &block.deltas {
                push(block.gap, &Event::ContentBlockDelta { index, delta });
            }
            push(now, &Event::ContentBlockStop { index });
        }
        let delta = Stop { stop_reason: self.stop_reason, stop_sequence: None };
        let usage = OutputUsage { output_tokens: self.usage.output_tokens };
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
            usage: Usage { output_tokens, ..self.usage },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{emit, text, thinking, tool};
    use serde_json::json;

    fn message(blocks: &[Block]) -> Message {
        Message::new(
            blocks,
            Context {
                message_id: "msg_1".into(),
                model: "claude-x",
                cwd: Some("/p"),
                usage: Usage { input_tokens: 7, ..Usage::default() },
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
        let types: Vec<_> = data.iter().map(|event| event["type"].as_str().unwrap()).collect();
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
        assert_eq!(data[3]["delta"], json!({"type": "text_delta", "text": "あい"}));
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
    fn thinking_ends_with_a_signature() {
        let data = data(&message(&[thinking("hm")]));
        assert_eq!(data[3]["delta"], json!({"type": "thinking_delta", "thinking": "hm"}));
        assert_eq!(data[4]["delta"]["type"], "signature_delta");
    }

    #[test]
    fn emit_makes_so_many_deltas_of_that_size() {
        let data = data(&message(&[emit(3, 20)]));
        let sizes: Vec<_> =
            data.iter().filter_map(|event| event["delta"]["text"].as_str()).map(str::len).collect();
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
