//! Runs: a generation from its request to its version, or the save of files that a client sent.
//!
//! # The phases of a run
//!
//! ```text
//! a generation    waiting ─▶ starting ─▶ running ─▶ judging ─▶ saving ─▶ done
//! files sent      waiting ────────────────────────────────────▶ saving ─▶ done
//!
//! from each of them but done     ─▶ failed
//!                                ─▶ cancelled
//! ```
//!
//! | phase | what happens | ends with |
//! | --- | --- | --- |
//! | waiting | the proof of the confinement, the turn of the project, a slot | `SANDBOX_ERROR`, `PROJECT_BUSY`, `WORKER_BUSY` |
//! | starting | the private copy, and beside it the CLI | `CLI_SPAWN_ERROR`, `SANDBOX_ERROR`, `STORAGE_ERROR` |
//! | running | the CLI has its prompt; its output becomes events | every limit of a run |
//! | judging | the verdict on how the CLI ended | the CLI's and the model API's failures |
//! | saving | the harvest becomes a version; not interrupted | `OUTPUT_REJECTED`, `STORAGE_FULL`, … |
//!
//! `done` is earned: a result without error, exit code 0, files harvested, version written. Every
//! other end is one `error` and leaves the project as it was. A run is cancelled by its client's
//! leaving, if it was started so ([`run::OnDisconnect`]), or by the worker's stopping.

mod apply;
pub mod claude;
mod context;
pub mod events;
pub mod failure;
mod generate;
pub mod guard;
pub mod import;
mod leavings;
pub mod log;
pub mod permits;
pub mod phase;
pub mod proof;
pub mod registry;
pub mod resources;
pub mod run;
mod save;
mod settings;
mod start;
mod verdict;
mod wait;
pub mod workspace;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

pub use apply::SentFiles;
pub use context::GenerateRequest;
pub use resources::Resources;
pub use settings::{ConfinementPolicy, Settings};

use crate::store::projects::ProjectKey;
use context::Context;
use events::Event;
use failure::Failure;
use log::{Log, LogWriter};
use registry::Registry;
use run::{OnDisconnect, Run, RunStream};

/// The runs under way, and the way to start one.
#[derive(Debug)]
pub struct Runs {
    resources: Arc<Resources>,
    registry: Arc<Registry>,
    /// Runs under way, for waiting at the end.
    tasks: TaskTracker,
    /// Stops every run.
    stop: CancellationToken,
}

impl Runs {
    /// No runs yet.
    pub fn new(resources: Resources) -> Self {
        Self {
            resources: Arc::new(resources),
            registry: Arc::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Starts a generation in the background. It is cancelled when its client leaves.
    pub fn generate(&self, request: GenerateRequest) -> RunStream {
        let resources = Arc::clone(&self.resources);
        self.start(request.key, OnDisconnect::Cancel, |run, log| {
            generate::generate(Context { resources, request, run, log })
        })
    }

    /// Saves files in the background, or reports why that cannot be. A save goes on when its client
    /// leaves. `finished` is called when the files are not needed any more.
    pub fn apply(
        &self,
        project: ProjectKey,
        files: Result<SentFiles, Failure>,
        finished: impl FnOnce() + Send + 'static,
    ) -> RunStream {
        let resources = Arc::clone(&self.resources);
        self.start(project, OnDisconnect::Continue, |run, log| {
            apply::apply(resources, files, finished, run, log)
        })
    }

    /// A run that ends before it has begun: nothing is started, nothing is saved.
    pub fn end_at_once(&self, project: ProjectKey, outcome: Result<(), Failure>) -> RunStream {
        self.start(project, OnDisconnect::Cancel, |run, log| async move {
            let event = match outcome {
                // No phase is entered: the one that a success ends is saving.
                Ok(()) => Event::Done { exit_code: 0, duration_ms: 0, generator: None },
                Err(failure) => {
                    run.fail(&failure);
                    Event::Error(failure)
                }
            };
            log.write(event).await;
        })
    }

    /// Runs that have a slot.
    pub fn running(&self) -> usize {
        self.resources.slots.taken()
    }

    /// Whether a run that is asked for now would get a slot at once.
    pub fn has_free_slot(&self) -> bool {
        self.running() < self.resources.settings.max_runs
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
        for run in self.registry.all() {
            let (id, phase, project) = (run.id(), run.phase().name(), run.project());
            tracing::warn!(run = %id, phase, user = %project.user, project = %project.project, "a run is stopped");
        }
        self.stop.cancel();
    }

    /// Starts a run in the background, and returns the stream of what it says.
    fn start<F: Future<Output = ()> + Send + 'static>(
        &self,
        project: ProjectKey,
        on_disconnect: OnDisconnect,
        work: impl FnOnce(Arc<Run>, LogWriter) -> F,
    ) -> RunStream {
        let (writer, log) = Log::create();
        let run = Arc::new(Run::new(project, on_disconnect, self.stop.child_token(), log));
        // Attached before the run begins, so that it misses nothing.
        let stream = run.stream();
        let listed = self.registry.list(Arc::clone(&run));
        let work = work(run, writer);
        let listed_work = async move {
            work.await;
            drop(listed);
        };
        self.tasks.spawn(listed_work.in_current_span());
        stream
    }
}
