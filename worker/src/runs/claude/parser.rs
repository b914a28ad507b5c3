//! TRUST BOUNDARY 5, second half: a line of the CLI's output into what it means. Pure, without I/O.
//!
//! Lines come from a program that untrusted text controls, and from versions that we have not seen:
//! what is unknown or broken is passed over and counted, never an error.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

/// Longest detail of a tool call, in characters.
const MAX_DETAIL_CHARS: usize = 200;

/// What a line means to a run.
#[derive(Debug, Clone, PartialEq)]
pub enum CliEvent {
    /// The CLI is up.
    Started {
        /// Its version, if it said so.
        version: Option<String>,
    },
    /// Text of the assistant; each piece once.
    Text(String),
    /// The assistant uses a tool.
    Tool {
        /// Its name.
        name: String,
        /// On what; may be empty.
        detail: String,
    },
    /// A request to the model API failed and will be repeated.
    Retry {
        /// Which attempt.
        attempt: u64,
        /// Of how many.
        max: u64,
    },
    /// The CLI's account of the whole run.
    Result {
        /// Whether it says that it failed.
        is_error: bool,
        /// Its last words.
        text: Option<String>,
    },
}

/// Reads lines one after the other and remembers what was said already.
#[derive(Debug, Default)]
pub struct Parser {
    /// Stripped from the paths that tools are called with.
    folder: String,
    /// Messages of which pieces were passed on; the whole that follows is then not repeated.
    streamed: HashSet<String>,
    /// The message that pieces belong to now.
    current: Option<String>,
    replay: Replay,
    skipped: u64,
    ping: bool,
}

/// After an answer broke off, the next attempt often begins with the same words. They are held back
/// for as long as they repeat what was shown.
#[derive(Debug, Default)]
struct Replay {
    /// Text that was shown of a message whose end has not been seen.
    shown: String,
    /// What the new attempt has said so far, while it repeats.
    held: Option<String>,
    /// Whether the message under way has announced its end. The CLI closes broken messages itself,
    /// but does not announce it.
    ending: bool,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    subtype: Option<String>,
    event: Option<RawEvent>,
    message: Option<Message>,
    #[serde(default)]
    parent_tool_use_id: Value,
    #[serde(default)]
    is_error: Value,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    claude_code_version: Value,
    #[serde(default)]
    attempt: Value,
    #[serde(default)]
    max_retries: Value,
}

#[derive(Deserialize)]
struct RawEvent {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    delta: Value,
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    model: Value,
    #[serde(default)]
    content: Value,
}

/// What the CLI calls the model of messages that it wrote itself, about errors.
const SYNTHETIC: &str = "<synthetic>";

impl Parser {
    /// A parser for a CLI that works in `folder`.
    pub fn new(folder: impl Into<String>) -> Self {
        Self { folder: folder.into(), ..Self::default() }
    }

    /// Lines that were not understood.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Whether the last line was a ping. While the CLI waits for an answer in one piece it makes
    /// up pings itself, so they are no sign of life.
    pub fn last_was_ping(&self) -> bool {
        self.ping
    }

    /// Reads one line.
    pub fn line(&mut self, line: &[u8]) -> Vec<CliEvent> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Vec::new();
        }
        // Bytes that are not UTF-8 become replacement characters, so that one of them in a file
        // that the agent reads does not hide the line.
        let text = String::from_utf8_lossy(line);
        let Ok(line) = serde_json::from_str::<Line>(&text) else {
            self.skipped += 1;
            return Vec::new();
        };
        self.ping = line.event.as_ref().is_some_and(|event| event.kind == "ping");
        match (line.kind.as_str(), line.subtype.as_deref()) {
            ("system", Some("init")) => {
                let version = line.claude_code_version.as_str().map(str::to_owned);
                vec![CliEvent::Started { version }]
            }
            ("system", Some("api_retry")) => vec![CliEvent::Retry {
                attempt: line.attempt.as_u64().unwrap_or(1),
                max: line.max_retries.as_u64().unwrap_or(1),
            }],
            // What a helper of the assistant says is not what the assistant says.
            ("stream_event" | "assistant", _) if !line.parent_tool_use_id.is_null() => Vec::new(),
            ("stream_event", _) => line.event.map_or_else(Vec::new, |e| self.raw_event(&e)),
            ("assistant", _) => line.message.map_or_else(Vec::new, |m| self.message(&m)),
            ("result", _) => vec![CliEvent::Result {
                // Anything but a clear "no" counts as an error.
                is_error: line.is_error != Value::Bool(false),
                text: line.result.as_str().map(str::to_owned),
            }],
            _ => Vec::new(),
        }
    }

    fn raw_event(&mut self, event: &RawEvent) -> Vec<CliEvent> {
        match event.kind.as_str() {
            "message_start" => {
                self.current =
                    event.message.as_ref().and_then(|m| m.id.as_str()).map(str::to_owned);
                self.begin_attempt();
                Vec::new()
            }
            "message_delta" => {
                self.replay.ending = true;
                Vec::new()
            }
            "message_stop" => {
                if self.replay.ending {
                    self.replay = Replay::default();
                }
                Vec::new()
            }
            "content_block_delta" if event.delta.get("type") == Some(&"text_delta".into()) => {
                let text = event.delta.get("text").and_then(Value::as_str).unwrap_or_default();
                if let Some(id) = &self.current {
                    self.streamed.insert(id.clone());
                }
                self.piece(text)
            }
            _ => Vec::new(),
        }
    }

    /// A piece of text: passed on, or held back while it repeats what was shown.
    fn piece(&mut self, text: &str) -> Vec<CliEvent> {
        if text.is_empty() {
            return Vec::new();
        }
        let Some(mut held) = self.replay.held.take() else {
            self.replay.shown.push_str(text);
            return vec![CliEvent::Text(text.to_owned())];
        };
        held.push_str(text);
        if self.replay.shown.starts_with(&held) {
            self.replay.held = Some(held);
            return Vec::new();
        }
        let new = match held.strip_prefix(self.replay.shown.as_str()) {
            Some(continuation) => continuation.to_owned(),
            // Another answer than before: it stands for itself, on a new line.
            None => format!("\n\n{held}"),
        };
        self.replay.shown = held;
        vec![CliEvent::Text(new)]
    }

    /// A message begins. If text of one without an end was shown, this is the next attempt at it.
    fn begin_attempt(&mut self) {
        let broke_off = !self.replay.shown.is_empty();
        self.replay.held = broke_off.then(String::new);
        self.replay.ending = false;
    }

    /// A whole message: its tools, and its text unless pieces of it were passed on.
    fn message(&mut self, message: &Message) -> Vec<CliEvent> {
        if message.model == SYNTHETIC {
            // The CLI's own words about an error; the run's last event says it better.
            return Vec::new();
        }
        let told = message.id.as_str().is_some_and(|id| self.streamed.contains(id));
        let blocks = message.content.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut events = Vec::new();
        for block in blocks {
            let text_of = |name: &str| block.get(name).and_then(Value::as_str);
            match (text_of("type"), text_of("text"), text_of("name")) {
                (Some("text"), Some(text), _) if !told => {
                    // Not streamed: often the second attempt at a message that broke off.
                    self.begin_attempt();
                    events.extend(self.piece(text));
                    self.replay = Replay::default();
                }
                (Some("tool_use"), _, Some(name)) => {
                    let input = block.get("input").unwrap_or(&Value::Null);
                    let detail = self.detail(input);
                    events.push(CliEvent::Tool { name: one_line(name), detail });
                }
                _ => {}
            }
        }
        events
    }

    /// The one argument of a tool call that a person wants to see.
    fn detail(&self, input: &Value) -> String {
        const TELLING: [&str; 6] = ["file_path", "command", "pattern", "path", "skill", "url"];
        let text = TELLING.iter().find_map(|name| input.get(name)?.as_str()).unwrap_or_default();
        // The machine's path is nobody's business, wherever in the text it stands.
        let inside = format!("{}/", self.folder);
        one_line(&text.replace(&inside, "").replace(&self.folder, "."))
    }
}

/// The first line, cut to a length that fits a progress line.
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
