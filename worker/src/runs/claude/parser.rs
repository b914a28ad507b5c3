//! TRUST BOUNDARY 5, second half: parses lines of the CLI's output into events, without I/O.
//!
//! The lines come from a program that untrusted text controls, and possibly from a version of the
//! CLI that we do not know. A line that is unknown or malformed is counted and is never an error.
//! The state that is kept from line to line is bounded.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::any::Any;
use super::line::{Line, Message, RawEvent, Told};
use super::replay::Replay;
use crate::json::Object;

/// The longest detail of a tool call, in characters.
const MAX_DETAIL_CHARS: usize = 200;
/// How much of a tool's argument is used, in bytes, before paths in it are shortened.
const MAX_ARGUMENT_BYTES: usize = 8 * 1024;
/// The longest text of one event, in bytes. A longer text becomes several events, so that the
/// events that wait for a slow reader are bounded in bytes too.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// The longest result text of a run, in bytes. A longer one is cut.
const MAX_RESULT_BYTES: usize = 1 << 20;
/// The longest version of the CLI that is logged, in bytes.
const MAX_VERSION_BYTES: usize = 64;
/// The longest line that is parsed although it is not UTF-8, in bytes.
const MAX_MENDED_BYTES: usize = 1 << 20;
/// The longest id of a message, in bytes. A longer one counts as no id. The API's ids have about
/// 30.
const MAX_ID_BYTES: usize = 128;
/// For how many messages the parser remembers that pieces were passed on. The CLI writes the whole
/// message directly after its pieces.
const MAX_STREAMED: usize = 64;

/// What begins a paragraph of Markdown.
const PARAGRAPH: &str = "\n\n";

/// The meaning of a line for a run.
#[derive(Debug, Clone, PartialEq)]
pub enum CliEvent {
    /// The CLI has started.
    Started {
        /// The CLI's version, if the line contains it.
        version: Option<String>,
    },
    /// Text of the assistant. No piece comes twice.
    Text(String),
    /// The assistant uses a tool.
    Tool {
        /// The tool's name.
        name: String,
        /// The argument that is shown. It may be empty.
        detail: String,
    },
    /// A request to the model API failed and will be repeated.
    Retry {
        /// The number of the attempt.
        attempt: u64,
        /// The largest number of attempts.
        max: u64,
    },
    /// The CLI's result of the whole run.
    Result {
        /// Whether the CLI reports a failure.
        is_error: bool,
        /// The assistant's last message.
        text: Option<String>,
    },
}

/// Parses lines one after the other, and remembers which text was passed on already.
#[derive(Debug, Default)]
pub struct Parser {
    /// The CLI's folder, which is removed from the paths that are shown.
    folder: String,
    /// The last messages of which pieces were passed on. The whole message, which follows, is then
    /// not passed on again.
    streamed: VecDeque<String>,
    /// The message to which the next pieces belong.
    current: Option<String>,
    replay: Replay,
    /// Whether any text was passed on.
    has_spoken: bool,
    /// Whether a tool was used since the last text.
    used_tool: bool,
    skipped: u64,
    ping: bool,
}

/// The name that the CLI gives to the model of messages that it wrote itself, about errors.
const SYNTHETIC: &str = "<synthetic>";

impl Parser {
    /// Makes a parser for a CLI that works in `folder`.
    pub fn new(folder: impl Into<String>) -> Self {
        Self { folder: folder.into(), ..Self::default() }
    }

    /// The number of lines that could not be parsed.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Whether the last line was a ping. While the CLI waits for an answer that does not stream, it
    /// makes pings itself, so a ping does not show that anything happens.
    pub fn last_was_ping(&self) -> bool {
        self.ping
    }

    /// Parses one line.
    pub fn line(&mut self, line: &[u8]) -> Vec<CliEvent> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Vec::new();
        }
        let text = to_text(line);
        let line = text.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let Some(Object(line)): Option<Object<Line<'_>>> = line else {
            self.skipped += 1;
            return Vec::new();
        };
        self.ping = line.event.as_ref().is_some_and(|Object(event)| event.kind.0 == "ping");
        match (&*line.kind.0, line.subtype.text()) {
            ("system", Some("init")) => {
                let version = line.claude_code_version.text();
                vec![CliEvent::Started { version: version.map(|v| cut(v, MAX_VERSION_BYTES)) }]
            }
            ("system", Some("api_retry")) => vec![CliEvent::Retry {
                attempt: line.attempt.number().unwrap_or(1),
                max: line.max_retries.number().unwrap_or(1),
            }],
            // Text of a helper that the assistant started is not text of the assistant.
            ("stream_event" | "assistant", _) if line.parent_tool_use_id.is_some() => Vec::new(),
            ("stream_event", _) => line.event.map_or_else(Vec::new, |e| self.raw_event(&e.0)),
            ("assistant", _) => line.message.map_or_else(Vec::new, |m| self.message(&m.0)),
            ("result", _) => vec![CliEvent::Result {
                // Every value but `false` counts as an error.
                is_error: line.is_error != Any::Bool(false),
                text: line.result.text().map(|text| cut(text, MAX_RESULT_BYTES)),
            }],
            _ => Vec::new(),
        }
    }

    fn raw_event(&mut self, event: &RawEvent<'_>) -> Vec<CliEvent> {
        match &*event.kind.0 {
            "message_start" => {
                self.current = event.message.as_ref().and_then(|Object(message)| id_of(message));
                self.replay.begin_attempt();
                Vec::new()
            }
            "message_delta" => {
                self.replay.announce_end();
                Vec::new()
            }
            "message_stop" => {
                self.replay.end();
                Vec::new()
            }
            "content_block_delta" => {
                let Some(delta) = event.delta.object() else {
                    return Vec::new();
                };
                if delta.kind.text() != Some("text_delta") {
                    return Vec::new();
                }
                self.remember_streamed();
                let said = self.replay.piece(delta.text.text().unwrap_or_default());
                said.map_or_else(Vec::new, |said| self.say(&said))
            }
            _ => Vec::new(),
        }
    }

    /// Remembers that a piece of the current message was passed on.
    fn remember_streamed(&mut self) {
        let Some(id) = &self.current else {
            return;
        };
        if self.streamed.back() == Some(id) {
            return;
        }
        if self.streamed.len() == MAX_STREAMED {
            self.streamed.pop_front();
        }
        self.streamed.push_back(id.clone());
    }

    /// A text as events. Clients join all texts, and show them as Markdown: what is said after a tool
    /// was used begins a paragraph, or a heading would be part of the sentence before.
    fn say(&mut self, text: &str) -> Vec<CliEvent> {
        let begins_paragraph = self.has_spoken && self.used_tool && !text.starts_with(PARAGRAPH);
        self.has_spoken = true;
        self.used_tool = false;
        if begins_paragraph { pieces(&format!("{PARAGRAPH}{text}")) } else { pieces(text) }
    }

    /// The events of a whole message: its tool calls, and its text unless pieces of it were passed
    /// on.
    fn message(&mut self, message: &Message<'_>) -> Vec<CliEvent> {
        if message.model.text() == Some(SYNTHETIC) {
            // A message that the CLI wrote itself about an error. The run's last event reports it.
            return Vec::new();
        }
        let Some(blocks) = message.content.list() else {
            return Vec::new();
        };
        if blocks.is_cut {
            self.skipped += 1;
        }
        let told = id_of(message).is_some_and(|id| self.streamed.contains(&id));
        let mut events = Vec::new();
        for block in &blocks.told {
            match block.told() {
                Some(Told::Text(text)) if !told => {
                    // The text was not streamed. Often it is the second attempt at a message that
                    // broke off.
                    self.replay.begin_attempt();
                    let said = self.replay.piece(text);
                    self.replay.forget();
                    events.extend(said.map_or_else(Vec::new, |said| self.say(&said)));
                }
                Some(Told::Tool(name, argument)) => {
                    self.used_tool = true;
                    let detail = self.detail(argument);
                    events.push(CliEvent::Tool { name: one_line(name), detail });
                }
                _ => {}
            }
        }
        events
    }

    /// A tool's argument in the form in which it is shown.
    fn detail(&self, argument: &str) -> String {
        let argument = argument.trim_start();
        let looked_at = argument.floor_char_boundary(MAX_ARGUMENT_BYTES);
        let text = argument.get(..looked_at).unwrap_or_default();
        // Clients must not see a path of the machine, wherever in the text it is.
        let inside = format!("{}/", self.folder);
        let mut text = text.replace(&inside, "").replace(&self.folder, ".");
        if looked_at < argument.len() {
            // The text may end with a part of the path, which was not recognised.
            let end = text.len().saturating_sub(self.folder.len());
            text.truncate(text.floor_char_boundary(end));
        }
        one_line(&text)
    }
}

/// A line as text. Bytes that are not UTF-8 become replacement characters, so that one such byte in
/// a file that the agent reads does not hide the line. Each may become three bytes, so a very long
/// line with such bytes is not parsed at all.
fn to_text(line: &[u8]) -> Option<Cow<'_, str>> {
    match std::str::from_utf8(line) {
        Ok(text) => Some(Cow::Borrowed(text)),
        Err(_) if line.len() > MAX_MENDED_BYTES => None,
        Err(_) => Some(String::from_utf8_lossy(line)),
    }
}

/// The id of a message. `None` if it is missing or too long.
fn id_of(message: &Message<'_>) -> Option<String> {
    message.id.text().filter(|id| id.len() <= MAX_ID_BYTES).map(str::to_owned)
}

/// Splits a text into events of a bounded length.
fn pieces(text: &str) -> Vec<CliEvent> {
    let mut events = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(MAX_TEXT_BYTES));
        events.push(CliEvent::Text(piece.to_owned()));
        rest = after;
    }
    events
}

/// A text cut to at most `max_bytes`, with an ellipsis if it was longer.
fn cut(text: &str, max_bytes: usize) -> String {
    let end = text.floor_char_boundary(max_bytes);
    let mut cut = text.get(..end).unwrap_or_default().to_owned();
    if end < text.len() {
        cut.push('…');
    }
    cut
}

/// The first line of a text, cut to the length of a progress line.
fn one_line(text: &str) -> String {
    let first = text.trim().lines().next().unwrap_or_default();
    let mut cut: String = first.chars().take(MAX_DETAIL_CHARS).collect();
    if first.chars().nth(MAX_DETAIL_CHARS).is_some() || text.trim().lines().nth(1).is_some() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests;
