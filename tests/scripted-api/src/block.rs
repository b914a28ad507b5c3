//! The content blocks of a turn, and how each is streamed.
//!
//! The free functions make a block with the usual pace, so that a test reads like the answer it
//! stands for; `delay_ms` and `chunk_chars` change the pace.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A content block, with how it is streamed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Block {
    /// What the assistant says.
    Text {
        /// The whole text.
        text: String,
        /// Characters in a delta.
        #[serde(default = "text_chunk_chars")]
        chunk_chars: usize,
        /// Milliseconds before each delta.
        #[serde(default)]
        delay_ms: u64,
    },
    /// What the assistant thinks, as extended thinking shows it.
    Thinking {
        /// The whole text.
        thinking: String,
        /// Characters in a delta.
        #[serde(default = "text_chunk_chars")]
        chunk_chars: usize,
        /// Milliseconds before each delta.
        #[serde(default)]
        delay_ms: u64,
    },
    /// A tool call. `{{cwd}}` in any string of the input becomes the CLI's working directory.
    ToolUse {
        /// The tool's name, as the CLI calls it.
        name: String,
        /// Its input.
        input: Value,
        /// Characters of the input's JSON in a delta.
        #[serde(default = "input_chunk_chars")]
        chunk_chars: usize,
        /// Milliseconds before each delta.
        #[serde(default)]
        delay_ms: u64,
    },
    /// Text made for throughput measurements: `count` deltas of `bytes` bytes each.
    Emit {
        /// How many deltas.
        count: usize,
        /// The size of each delta's text.
        bytes: usize,
        /// Microseconds from one delta to the next, kept on average.
        #[serde(default)]
        interval_us: u64,
    },
}

fn text_chunk_chars() -> usize {
    12
}

fn input_chunk_chars() -> usize {
    100
}

/// A text block, streamed without delays.
pub fn text(text: impl Into<String>) -> Block {
    Block::Text { text: text.into(), chunk_chars: text_chunk_chars(), delay_ms: 0 }
}

/// A thinking block, streamed without delays.
pub fn thinking(thinking: impl Into<String>) -> Block {
    Block::Thinking { thinking: thinking.into(), chunk_chars: text_chunk_chars(), delay_ms: 0 }
}

/// A tool call, streamed without delays.
pub fn tool(name: impl Into<String>, input: Value) -> Block {
    Block::ToolUse { name: name.into(), input, chunk_chars: input_chunk_chars(), delay_ms: 0 }
}

/// A text block of `count` deltas of `bytes` bytes, as fast as the reader takes them.
pub fn emit(count: usize, bytes: usize) -> Block {
    Block::Emit { count, bytes, interval_us: 0 }
}

impl Block {
    /// Waits that long before each delta.
    #[must_use]
    pub fn delay_ms(mut self, ms: u64) -> Self {
        match &mut self {
            Self::Text { delay_ms, .. }
            | Self::Thinking { delay_ms, .. }
            | Self::ToolUse { delay_ms, .. } => *delay_ms = ms,
            Self::Emit { interval_us, .. } => *interval_us = ms * 1000,
        }
        self
    }

    /// Puts that many characters in a delta; an `emit` block has its size already.
    #[must_use]
    pub fn chunk_chars(mut self, chars: usize) -> Self {
        match &mut self {
            Self::Text { chunk_chars, .. }
            | Self::Thinking { chunk_chars, .. }
            | Self::ToolUse { chunk_chars, .. } => *chunk_chars = chars,
            Self::Emit { .. } => {}
        }
        self
    }
}
