//! One generation, from request to saved version.

mod apply;
pub mod claude;
pub mod events;
pub mod failure;
mod generate;
pub mod guard;
pub mod proof;
pub mod registry;
mod save;
mod verdict;
pub mod workspace;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use apply::Application;
pub use generate::Request;
pub use save::merge_warning;

use crate::config::Config;
use crate::models::broker::Broker;
use crate::sandbox::launch::Launcher;
use crate::sandbox::plan::sandbox_identity;
use crate::store::projects::Volume;
use guard::{Allowance, Guard};
use proof::ProofWatch;
use registry::Registry;
use workspace::Scratch;

/// Everything that runs need.
#[derive(Debug)]
pub struct Runner {
    config: Config,
    volume: Volume,
    scratch: Scratch,
    registry: Arc<Registry>,
    broker: Broker,
    guard: Guard,
    launcher: Launcher,
    proof: ProofWatch,
    /// Runs under way, for waiting at the end.
    tasks: TaskTracker,
    /// Stops every run.
    stop: CancellationToken,
}

/// Why the worker cannot run at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The scratch folder cannot be used.
    #[error("DREAMCORE_SCRATCH_DIR {path}: {source}")]
    Scratch {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The thread that watches runs did not start.
    #[error("the watch over runs: {0}")]
    Guard(std::io::Error),
    /// No HTTP client could be made.
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

impl Runner {
    /// Prepares the scratch folder and begins to prove how runs are confined here. A machine on
    /// which nothing can be confined is no error: files are served, and runs are refused.
    pub async fn new(config: Config, launcher: Launcher) -> Result<Self, StartError> {
        let owner = sandbox_identity();
        let path = config.scratch_dir.clone();
        let wrap = |source| StartError::Scratch { path: config.scratch_dir.clone(), source };
        let prepared = tokio::task::spawn_blocking(move || Scratch::prepare(&path, owner));
        let scratch = prepared.await.map_err(|e| wrap(std::io::Error::other(e)))?.map_err(wrap)?;
        let runs = &config.runs;
        let allowance = Allowance {
            memory_bytes: runs.memory_bytes,
            processes: runs.max_processes,
            disk_bytes: runs.disk_bytes,
            disk_reserve_bytes: runs.disk_reserve_bytes,
        };
        let proof = proof::begin(&config, &launcher, &scratch);
        Ok(Self {
            volume: Volume::new(&config.data_dir, config.files),
            scratch,
            registry: Registry::new(config.runs.max_runs),
            broker: Broker::new(config.anthropic.clone())?,
            guard: Guard::start(allowance).map_err(StartError::Guard)?,
            launcher,
            proof,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            config,
        })
    }

    /// The volume.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    /// What is proven of the confinement, as soon as it is.
    pub fn proof(&self) -> &ProofWatch {
        &self.proof
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Runs under way.
    pub fn running(&self) -> usize {
        self.registry.running()
    }

    /// Whether no new run is taken.
    pub fn is_closing(&self) -> bool {
        self.tasks.is_closed()
    }

    /// Takes no new runs from here on.
    pub fn close(&self) {
        self.tasks.close();
    }

    /// Waits until no run is under way.
    pub async fn finished(&self) {
        self.tasks.wait().await;
    }

    /// Stops every run; each tells its reader so.
    pub fn stop_all(&self) {
        self.stop.cancel();
    }
}
