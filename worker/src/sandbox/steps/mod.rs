//! The launcher's steps, one a file. They run in a single-threaded process that does nothing else,
//! in the order that `bin/confine.rs` gives.

pub mod cgroup;
pub mod control;
pub mod descriptors;
pub mod identity;
pub mod landlock;
pub mod limits;
pub mod mounts;
pub mod namespaces;
pub mod network;
pub mod own_user;
pub mod process;
pub mod reaper;
pub mod seccomp;

use std::fmt::Display;

/// A step that failed: what was being done, and why it did not work.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {reason}")]
pub struct StepError {
    /// What was being done.
    pub step: &'static str,
    /// What went wrong.
    pub reason: String,
}

impl StepError {
    /// For `map_err`: names the step that an error belongs to.
    pub fn at<E: Display>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self { step, reason: error.to_string() }
    }
}

/// Result of a step.
pub type StepResult<T = ()> = Result<T, StepError>;
