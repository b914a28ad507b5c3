//! The launcher's steps, one file each. They run in a process that has one thread and does nothing
//! else, in the order of `main.rs`.

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

/// Result of a step. A failure is sent to the worker as it is.
pub(crate) type StepResult<T = ()> = Result<T, Failure>;
