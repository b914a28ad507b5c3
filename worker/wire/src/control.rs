//! The protocol between worker and launcher: lines over a socket pair.
//!
//! The worker sends one [`Plan`](crate::plan::Plan) and then keeps its end of the socket open. When
//! that end closes, also because the worker was killed, the launcher kills everything that it
//! started. The launcher sends [`Message`]s, one of them with a listening socket attached.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::Mechanism;

/// The descriptor at which the launcher finds its end of the socket.
pub const CONTROL_FD: i32 = 3;

/// Whether one mechanism was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The mechanism that this is about.
    pub mechanism: Mechanism,
    /// `false` if it is missing in this sandbox.
    pub applied: bool,
    /// In which form it was applied, or why it was not. For people to read.
    pub detail: String,
}

/// A message of the launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    /// A mechanism was applied, or it is missing and the plan does not require it.
    Outcome(Outcome),
    /// The listener inside the sandbox. Its descriptor is attached to this line.
    Listener,
    /// Every mechanism is dealt with, and the program is executed next.
    Ready,
    /// The start failed, or the launcher cannot go on.
    Failed(Failure),
    /// The program ended with an error, and so many processes that it had started were there. They
    /// are ended next.
    Remaining {
        /// The number of processes. Threads are not counted.
        processes: u64,
    },
    /// The program ended and nothing that it started is left.
    Exited {
        /// The program's exit code, or 128 plus the number of the signal that ended it.
        code: i32,
    },
}

/// Why the launcher gave up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step that failed.
    pub step: Step,
    /// What went wrong. For people to read.
    pub reason: String,
}

/// The steps of the launcher that can fail.
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
    /// Blocking SIGCHLD and opening the descriptor that reports it.
    Signals,
    /// Forking into the two halves of the launcher, or into the first process and the program.
    Fork,
    /// Asking the kernel to kill this process when its parent ends.
    ParentDeathSignal,
    /// Entering the plan's working directory.
    WorkingDirectory,
    /// Executing the program. Every required mechanism was applied by then, so the program's file
    /// is at fault and not the confinement.
    Exec,
    /// Working as the first process of the PID namespace.
    Init,
    /// Waiting until the program and everything that it started have ended.
    Watch,
    /// Unmounting the minimal root where mounts are shared.
    Release,
    /// Sending a message to the worker.
    Report,
}

impl Failure {
    /// For `map_err`: makes a failure of `step` from an error.
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
