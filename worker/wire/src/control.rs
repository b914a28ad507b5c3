//! The wire between worker and launcher: lines over a socket pair.
//!
//! The worker sends one [`Plan`](crate::plan::Plan) and then keeps its end open; when that end
//! closes, however the worker ended, the launcher kills everything it started. The launcher sends
//! [`Message`]s, one of them with a listening socket attached.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::Mechanism;

/// The descriptor at which the launcher finds its end.
pub const CONTROL_FD: i32 = 3;

/// Whether one mechanism holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which one.
    pub mechanism: Mechanism,
    /// Whether it was applied.
    pub applied: bool,
    /// How, or why not; for people.
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
    /// The start failed, or the launcher cannot go on.
    Failed(Failure),
    /// The program ended and nothing that it started is left.
    Exited {
        /// Exit code, or 128 and the signal's number.
        code: i32,
    },
}

/// Why the launcher did not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What it was doing.
    pub step: Step,
    /// What went wrong; for people.
    pub reason: String,
}

/// What the launcher does, as far as it can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Taking the control socket and closing every other descriptor.
    Descriptors,
    /// Reading the plan.
    Plan,
    /// Leaving the worker's session.
    Session,
    /// Applying a mechanism that the plan demands.
    Mechanism(Mechanism),
    /// Opening the broker's listener on the sandbox's own loopback.
    Listener,
    /// Preparing to be told of the end of children.
    Signals,
    /// Splitting into two processes.
    Fork,
    /// Asking to be killed when the parent ends.
    ParentDeathSignal,
    /// Entering the plan's working directory.
    WorkingDirectory,
    /// Executing the program. Every demanded mechanism was applied, so it is the program that fails.
    Exec,
    /// Becoming the first process of the sandbox.
    Init,
    /// Waiting for the end of the program and of what it started.
    Watch,
    /// Taking the minimal root away.
    Release,
    /// Sending a message to the worker.
    Report,
}

impl Failure {
    /// For `map_err`: says which step an error belongs to.
    pub fn at<E: fmt::Display>(step: Step) -> impl FnOnce(E) -> Self {
        move |error| Self { step, reason: error.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.reason)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptors => "descriptors",
            Self::Plan => "plan",
            Self::Session => "session",
            Self::Mechanism(mechanism) => mechanism.name(),
            Self::Listener => "broker's listener",
            Self::Signals => "signals",
            Self::Fork => "fork",
            Self::ParentDeathSignal => "parent death signal",
            Self::WorkingDirectory => "working directory",
            Self::Exec => "exec",
            Self::Init => "init",
            Self::Watch => "watch",
            Self::Release => "release of the root",
            Self::Report => "report",
        })
    }
}
