//! Confinement: what a sandboxed process may do, and how it is started so that this holds.
//!
//! The worker decides ([`plan`]) and starts ([`launch`]); the launcher `dreamcore-confine` carries
//! out ([`steps`]). Nothing else in the worker starts a process.

pub mod cgroup;
pub mod control;
pub mod explore;
pub mod launch;
pub mod plan;
pub mod policy;
pub mod probe;
mod receive;
pub mod steps;
pub mod usage;

pub use steps::mounts::release as release_root;

/// Keeps the worker's memory and environment, which hold the keys, from other processes of the same
/// user: nobody may trace it or read its files in `/proc`, and it leaves no core dump.
pub fn protect_own_process() -> nix::Result<()> {
    nix::sys::prctl::set_dumpable(false)
}
