//! The wire between worker and launcher: JSON lines over a socket pair.
//!
//! The worker sends one [`Plan`](super::Plan) line and then keeps its end open; when that end
//! closes, however the worker ended, the launcher kills everything it started. The launcher sends
//! [`Message`] lines, one of them with a listening socket attached.

use serde::{Deserialize, Serialize};

use super::plan::Mechanism;

/// The descriptor at which the launcher finds its end.
pub const CONTROL_FD: i32 = 3;

/// Longest line in either direction, in bytes: a plan with its environment is a few KiB.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// Whether one mechanism holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which one.
    pub mechanism: Mechanism,
    /// Whether it was applied.
    pub applied: bool,
    /// How, or why not.
    pub detail: String,
}

/// What the launcher says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    /// A mechanism was applied, or is missing and was not required.
    Outcome(Outcome),
    /// The listener inside the sandbox; its descriptor comes with this line.
    Listener,
    /// Everything is applied; the program is started next.
    Ready,
    /// The start failed.
    Failed {
        /// What was being done.
        step: String,
        /// What went wrong.
        reason: String,
    },
    /// The program ended and nothing that it started is left.
    Exited {
        /// Exit code, or 128 and the signal's number.
        code: i32,
    },
}
