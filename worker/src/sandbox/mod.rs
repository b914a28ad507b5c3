//! Confinement: what a sandboxed process may do, and how it is started so that this holds.
//!
//! The worker decides ([`policy`]) and starts ([`launch`]); the launcher `dreamcore-confine`, a package
//! of its own, carries out. Nothing else in the worker starts a process.

pub mod cgroup;
pub mod explore;
pub mod launch;
pub mod policy;
pub mod probe;
mod processes;
mod receive;
mod root;
pub mod usage;

pub use root::release as release_root;

/// Keeps the worker's memory and environment, which hold the keys, from other processes of the same
/// user: nobody may trace it or read its files in `/proc`, and it leaves no core dump.
pub fn protect_own_process() -> nix::Result<()> {
    nix::sys::prctl::set_dumpable(false)
}
