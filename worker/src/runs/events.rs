//! What a stream says, in the relay's words.

use schemars::JsonSchema;
use serde::Serialize;

use super::failure::Failure;
use crate::models::broker::Totals;
use crate::store::projects::SavedFile;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A short line about progress, shown to the user.
    Status {
        /// In Japanese.
        message: String,
    },
    /// Text of the assistant, as it is written.
    Stream {
        /// The next piece.
        content: String,
    },
    /// What the assistant does; a tool call is `[Name] detail`.
    Log {
        /// The line.
        content: String,
        /// `info` or `warn`.
        level: Level,
    },
    /// Something went differently than hoped, without harm.
    Warning {
        /// For the operator.
        message: String,
    },
    /// Numbers for the operator.
    Debug(Box<Debug>),
    /// What was saved.
    Result {
        /// Files that changed.
        files: Vec<SavedFile>,
        /// The assistant's last words.
        #[serde(skip_serializing_if = "Option::is_none")]
        summary: Option<String>,
        /// The version that holds them.
        #[serde(skip_serializing_if = "Option::is_none")]
        git_commit: Option<String>,
    },
    /// The end: everything was saved.
    Done {
        /// Always 0.
        exit_code: i32,
        /// From request to end.
        duration_ms: u64,
        /// Which generator it was, if one was asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        generator: Option<&'static str>,
    },
    /// The end: nothing was saved.
    Error(Failure),
}

impl Event {
    /// Whether nothing may follow it.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Error(_))
    }

    /// Bytes of the texts in it, about what it takes in memory beside a fixed part.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Status { message } | Self::Warning { message } => message.len(),
            Self::Stream { content } | Self::Log { content, .. } => content.len(),
            Self::Debug(debug) => debug.stderr.len(),
            Self::Result { files, summary, .. } => {
                let paths = files.iter().map(|file| file.path.len());
                paths.sum::<usize>() + summary.as_ref().map_or(0, String::len)
            }
            Self::Done { .. } => 0,
            Self::Error(failure) => failure.message.len(),
        }
    }
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Ordinary.
    Info,
    /// Worth a look.
    Warn,
}

/// Numbers of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Debug {
    /// The CLI's exit code, if it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// From request to now.
    pub elapsed_seconds: f64,
    /// The version that was saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// From request to the CLI's start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<u64>,
    /// What the run used of the model API.
    pub api: Totals,
    /// Lines of the CLI's output that could not be read.
    pub skipped_lines: u64,
    /// The end of what the CLI wrote to standard error.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stderr: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::ErrorCode;

    fn wire(event: &Event) -> serde_json::Value {
        serde_json::to_value(event).unwrap()
    }

    #[test]
    fn events_have_the_fields_that_the_relay_reads() {
        let status = Event::Status { message: "準備中".into() };
        assert_eq!(wire(&status), json!({"type": "status", "message": "準備中"}));
        let log = Event::Log { content: "[Write] index.html".into(), level: Level::Info };
        let expected = json!({"type": "log", "content": "[Write] index.html", "level": "info"});
        assert_eq!(wire(&log), expected);
        let done = Event::Done { exit_code: 0, duration_ms: 5, generator: Some("claude") };
        let expected =
            json!({"type": "done", "exit_code": 0, "duration_ms": 5, "generator": "claude"});
        assert_eq!(wire(&done), expected);
    }

    #[test]
    fn an_error_speaks_to_the_user_and_to_the_operator() {
        let event = Event::Error(Failure::new(ErrorCode::CliTimeout, "600 s are over"));
        assert!(event.is_terminal());
        let value = wire(&event);
        assert_eq!(value["type"], "error");
        assert_eq!(value["code"], "CLI_TIMEOUT");
        assert_eq!(value["recoverable"], true);
        assert_eq!(value["exitCode"], 124);
        assert!(!value["userMessage"].as_str().unwrap().is_ascii());
    }
}
