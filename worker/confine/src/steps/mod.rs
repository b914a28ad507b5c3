//! The launcher's steps, one a file. They run in a single-threaded process that does nothing else,
//! in the order that `main.rs` gives.

pub(crate) mod cgroup;
pub(crate) mod control;
pub(crate) mod descriptors;
pub(crate) mod identity;
pub(crate) mod landlock;
pub(crate) mod limits;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod network;
pub(crate) mod own_user;
pub(crate) mod process;
pub(crate) mod reaper;
pub(crate) mod seccomp;

use std::fmt::Display;

/// A step that failed: what was being done, and why it did not work.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {reason}")]
pub(crate) struct StepError {
    /// What was being done.
    pub(crate) step: &'static str,
    /// What went wrong.
    pub(crate) reason: String,
}

impl StepError {
    /// For `map_err`: names the step that an error belongs to.
    pub(crate) fn at<E: Display>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self { step, reason: error.to_string() }
    }
}

/// Result of a step.
pub(crate) type StepResult<T = ()> = Result<T, StepError>;
