//! Confinement: what a sandboxed process may do, and how it is started so that it cannot do more.
//!
//! The worker decides ([`policy`]) and starts the launcher ([`launch`]). The launcher
//! `dreamcore-confine`, a package of its own, carries the plan out. No other module of the worker
//! starts a process.

pub mod cgroup;
pub mod explore;
pub mod launch;
pub mod memory;
pub mod policy;
pub mod probe;
mod processes;
mod receive;
mod root;
pub mod usage;

pub use root::release as release_root;

/// Protects the worker's memory and environment, which contain the keys, from other processes of
/// the same user: they cannot trace the worker or read its files in `/proc`, and it leaves no core
/// dump.
pub fn protect_own_process() -> nix::Result<()> {
    nix::sys::prctl::set_dumpable(false)
}
