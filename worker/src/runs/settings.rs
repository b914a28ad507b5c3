//! The settings of runs.

use std::path::PathBuf;
use std::time::Duration;

/// The settings of runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a run may take from its request to its result.
    pub timeout: Duration,
    /// How long the CLI may be silent.
    pub idle_timeout: Duration,
    /// The memory of all processes of one run together, in bytes.
    pub memory_bytes: u64,
    /// The memory of the machine, or of the container, that must stay free, in bytes.
    pub memory_reserve_bytes: u64,
    /// The number of processes and threads of one run.
    pub max_processes: u64,
    /// The space that one run may use on the scratch disk, in bytes.
    pub disk_bytes: u64,
    /// The space that must stay free on the scratch disk, in bytes.
    pub disk_reserve_bytes: u64,
    /// The number of slots: how many generations may go on at the same time.
    pub max_runs: usize,
    /// How long a run waits in a queue in which nobody is served before it ends with `WORKER_BUSY` or
    /// `PROJECT_BUSY`.
    pub queue_timeout: Duration,
    /// The scratch folder, on a local disk.
    pub scratch_dir: PathBuf,
    /// The path of the Claude CLI.
    pub claude_bin: PathBuf,
    /// The model for the CLI. `None` leaves the choice to the CLI.
    pub model: Option<String>,
    /// What the self-test must have proven before anything is run.
    pub confinement: ConfinementPolicy,
}

/// The operator's policy: what the self-test must have proven. The names of the weaker ones say
/// what they give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfinementPolicy {
    /// Every attack of the self-test must have been denied.
    Strict,
    /// Attacks on the network may succeed; all others must have been denied.
    WithoutNetworkIsolation,
    /// Nothing is required. The mechanisms that this machine has are applied.
    WithoutGuarantees,
}
