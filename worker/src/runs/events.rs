//! The events of a stream, in the form that the relay expects.

use schemars::JsonSchema;
use serde::Serialize;

use super::failure::Failure;
use crate::models::broker::Totals;
use crate::store::projects::SavedFile;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A short text about progress, which the relay shows to the user.
    Status {
        /// The text, in Japanese.
        message: String,
    },
    /// A piece of the assistant's text.
    Stream {
        /// The piece. All pieces together are the text.
        content: String,
    },
    /// What the assistant does. A tool call is `[Name] detail`.
    Log {
        /// The text of the line.
        content: String,
        /// The level of the line.
        level: Level,
    },
    /// Something that the operator should know and that does not end the run.
    Warning {
        /// The text for the operator.
        message: String,
    },
    /// Numbers for the operator.
    Debug(Box<Debug>),
    /// The result of the save.
    Result {
        /// The files that changed.
        files: Vec<SavedFile>,
        /// The assistant's last message.
        #[serde(skip_serializing_if = "Option::is_none")]
        summary: Option<String>,
        /// The newest version of the project, abbreviated.
        #[serde(skip_serializing_if = "Option::is_none")]
        git_commit: Option<String>,
    },
    /// The end: everything was saved.
    Done {
        /// Always 0.
        exit_code: i32,
        /// The time from the request to the end, in milliseconds.
        duration_ms: u64,
        /// The generator of a generation: `claude`.
        #[serde(skip_serializing_if = "Option::is_none")]
        generator: Option<&'static str>,
    },
    /// The end: nothing was saved.
    Error(Failure),
}

impl Event {
    /// Whether the event ends the stream.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Error(_))
    }

    /// The size of the event's texts in bytes, which is roughly the memory that it takes.
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

/// The level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// An ordinary line.
    Info,
    /// A line that the operator should read.
    Warn,
}

/// Numbers of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Debug {
    /// The CLI's exit code, if it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The time since the request, in seconds.
    pub elapsed_seconds: f64,
    /// The newest version of the project, abbreviated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// The time from the request until the CLI was started and the project copied, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<u64>,
    /// How much of the model API the run used.
    pub api: Totals,
    /// The number of lines of the CLI's output that could not be parsed.
    pub skipped_lines: u64,
    /// The end of the CLI's standard error.
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
