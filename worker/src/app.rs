//! The application: what the handlers of all requests share, each part by its own name.

use std::path::PathBuf;
use std::sync::Arc;

use crate::assist::Assist;
use crate::blocking;
use crate::config::Config;
use crate::models::broker::Broker;
use crate::models::client;
use crate::models::messages::Messages;
use crate::runs::guard::{Allowance, Guard};
use crate::runs::import;
use crate::runs::permits::{Line, Turns};
use crate::runs::proof::{self, ProofWatch};
use crate::runs::workspace::Scratch;
use crate::runs::{Resources, Runs};
use crate::sandbox::launch::Launcher;
use crate::sandbox::policy::sandbox_identity;
use crate::store::Store;

/// Everything that outlives a single request.
#[derive(Debug)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// What lies on the volume.
    pub store: Store,
    /// What is proven of the confinement, as soon as it is.
    pub proof: ProofWatch,
    /// Short questions to a model.
    pub assist: Assist,
    /// The runs under way, and the way to start one.
    pub runs: Arc<Runs>,
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

impl App {
    /// Prepares the scratch folder and begins to prove how runs are confined here. A machine on
    /// which nothing can be confined is no error: files are served, and runs are refused.
    pub async fn new(config: Config, launcher: Launcher) -> Result<Self, StartError> {
        let owner = sandbox_identity();
        let path = config.scratch_dir.clone();
        let wrap = |source| StartError::Scratch { path: config.scratch_dir.clone(), source };
        let prepared = blocking::run(move || Scratch::prepare(&path, owner));
        let scratch = prepared.await.map_err(|e| wrap(std::io::Error::other(e)))?.map_err(wrap)?;
        let allowance = Allowance {
            memory_bytes: config.runs.memory_bytes,
            processes: config.runs.max_processes,
            disk_bytes: config.runs.disk_bytes,
            disk_reserve_bytes: config.runs.disk_reserve_bytes,
        };
        let messages = Messages::new(config.anthropic.clone(), client::new()?);
        let assist = Assist::new(messages, config.assist.clone());
        let config = Arc::new(config);
        let proof = proof::begin(&config, &launcher, &scratch);
        let importer = import::importer(launcher.clone(), scratch.clone(), proof.clone());
        let store = Store::new(&config, importer);
        let runs = Runs::new(Resources {
            config: Arc::clone(&config),
            projects: store.projects.clone(),
            scratch,
            slots: Line::new(config.runs.max_runs),
            turns: Turns::default(),
            broker: Broker::new(config.anthropic.clone())?,
            guard: Guard::start(allowance).map_err(StartError::Guard)?,
            launcher,
            proof: proof.clone(),
        });
        Ok(Self { store, proof, assist, runs: Arc::new(runs), config })
    }
}
