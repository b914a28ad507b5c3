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

use dreamcore_wire::control::Failure;

/// Result of a step; its failure is what the worker is told.
pub(crate) type StepResult<T = ()> = Result<T, Failure>;
