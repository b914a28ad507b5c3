//! What can be set of runs.

use std::path::PathBuf;
use std::time::Duration;

/// What can be set of runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Longest run from request to result.
    pub timeout: Duration,
    /// Longest silence of the CLI.
    pub idle_timeout: Duration,
    /// Memory of all processes of one run together, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads of one run.
    pub max_processes: u64,
    /// What one run may have on the scratch disk, in bytes.
    pub disk_bytes: u64,
    /// What must be left on the scratch disk, in bytes.
    pub disk_reserve_bytes: u64,
    /// Runs at the same time.
    pub max_runs: usize,
    /// Longest wait for a free place before `WORKER_BUSY` or `PROJECT_BUSY`.
    pub queue_timeout: Duration,
    /// Local disk for the private copies that runs work on.
    pub scratch_dir: PathBuf,
    /// The Claude CLI.
    pub claude_bin: PathBuf,
    /// Model for the CLI; `None` leaves the choice to the CLI.
    pub model: Option<String>,
    /// What must be proven of the confinement before anything is run.
    pub confinement: ConfinementPolicy,
}

/// What must be proven of the confinement. The weaker ones say what they give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfinementPolicy {
    /// Every attack of the self-test is denied.
    Strict,
    /// Attacks on the network may succeed; all others are denied.
    WithoutNetworkIsolation,
    /// Nothing is demanded; what can be applied is applied.
    WithoutGuarantees,
}
