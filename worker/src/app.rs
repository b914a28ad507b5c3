//! The application: the parts of the worker that the handlers of all requests share.

use std::path::PathBuf;
use std::sync::Arc;

use crate::assist::{self, Assist};
use crate::blocking;
use crate::models::broker::Broker;
use crate::models::messages::Messages;
use crate::models::{self, Providers, client};
use crate::runs::guard::{Allowance, Guard};
use crate::runs::import;
use crate::runs::permits::{Line, Turns};
use crate::runs::proof::{self, ProofWatch};
use crate::runs::workspace::Scratch;
use crate::runs::{self, Resources, Runs};
use crate::sandbox::launch::Launcher;
use crate::sandbox::policy::sandbox_identity;
use crate::store::{self, Store};

/// The settings of the application. Each module declares its own part.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The settings of the volume.
    pub store: store::Settings,
    /// The settings of the model APIs.
    pub models: models::Settings,
    /// The settings of short questions.
    pub assist: assist::Settings,
    /// The settings of runs.
    pub runs: runs::Settings,
    /// The largest body of a request with files in it, in bytes.
    pub max_body_bytes: usize,
}

/// Everything that outlives a single request.
#[derive(Debug)]
pub struct App {
    /// The settings with which the worker was started.
    pub settings: Settings,
    /// The projects and assets on the volume.
    pub store: Store,
    /// The result of the self-test, once it is known.
    pub proof: ProofWatch,
    /// Asks a model short questions.
    pub assist: Assist,
    /// Starts runs, and knows those that are running.
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
        /// Why it cannot be used.
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
    /// Prepares the scratch folder and starts the self-test in the background. If nothing can be
    /// confined on this machine, that is not an error: the worker serves files and refuses runs.
    pub async fn new(settings: Settings, launcher: Launcher) -> Result<Self, StartError> {
        let owner = sandbox_identity();
        let path = settings.runs.scratch_dir.clone();
        let wrap = |source| StartError::Scratch { path: settings.runs.scratch_dir.clone(), source };
        let reserve_bytes = settings.runs.disk_reserve_bytes;
        let prepared = blocking::run(move || Scratch::prepare(&path, owner, reserve_bytes));
        let scratch = prepared.await.map_err(|e| wrap(std::io::Error::other(e)))?.map_err(wrap)?;
        let allowance = Allowance {
            memory_bytes: settings.runs.memory_bytes,
            memory_reserve_bytes: settings.runs.memory_reserve_bytes,
            processes: settings.runs.max_processes,
            disk_bytes: settings.runs.disk_bytes,
            disk_reserve_bytes: settings.runs.disk_reserve_bytes,
        };
        let client = client::new()?;
        let providers = Arc::new(Providers::new(&settings.models, &client));
        let messages = Messages::new(Arc::clone(&providers), client.clone());
        let assist = Assist::new(messages, settings.assist.clone());
        let proof = proof::begin(&settings.runs, &settings.store, &launcher, &scratch);
        let importer = import::importer(launcher.clone(), scratch.clone(), proof.clone());
        let store = Store::new(&settings.store, importer);
        let runs = Runs::new(Resources {
            settings: settings.runs.clone(),
            store: settings.store.clone(),
            models: settings.models.clone(),
            volume: store.volume.clone(),
            projects: store.projects.clone(),
            scratch,
            slots: Line::new(settings.runs.max_runs),
            turns: Turns::default(),
            broker: Broker::new(settings.models.lending.clone(), providers, client),
            guard: Guard::start(allowance).map_err(StartError::Guard)?,
            launcher,
            proof: proof.clone(),
        });
        // The self-test has files on the volume, and a reload would take them away.
        tokio::spawn({
            let (volume, proof) = (store.volume.clone(), proof.clone());
            async move {
                drop(proof.wait().await);
                volume.allow_reloads();
            }
        });
        Ok(Self { store, proof, assist, runs: Arc::new(runs), settings })
    }
}
