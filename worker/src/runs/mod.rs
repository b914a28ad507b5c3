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
//! A run ends with `done` only after a result without an error, exit code 0, a harvest and a save.
//! Every other end is one `error` and leaves the project as it was. A run is cancelled if its
//! client leaves and it was started so ([`run::OnDisconnect`]), or if the worker stops.

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

/// Starts runs, and knows those that are going on.
#[derive(Debug)]
pub struct Runs {
    resources: Arc<Resources>,
    registry: Arc<Registry>,
    /// The tasks of the runs, for waiting until they have ended.
    tasks: TaskTracker,
    /// Cancels every run.
    stop: CancellationToken,
}

impl Runs {
    /// Makes a value without runs.
    pub fn new(resources: Resources) -> Self {
        Self {
            resources: Arc::new(resources),
            registry: Arc::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Starts a generation in the background. It is cancelled if its client leaves.
    pub fn generate(&self, request: GenerateRequest) -> RunStream {
        let resources = Arc::clone(&self.resources);
        self.start(request.key, OnDisconnect::Cancel, |run, log| {
            generate::generate(Context { resources, request, run, log })
        })
    }

    /// Starts a save of files in the background. It goes on if its client leaves. It calls
    /// `finished` when the content of the files has been dropped.
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

    /// The stream of a run that ends at once: nothing is started and nothing is saved.
    pub fn end_at_once(&self, project: ProjectKey, outcome: Result<(), Failure>) -> RunStream {
        self.start(project, OnDisconnect::Cancel, |run, log| async move {
            let event = match outcome {
                // No phase is entered, because only a run that is saving may become done.
                Ok(()) => Event::Done { exit_code: 0, duration_ms: 0, generator: None },
                Err(failure) => {
                    run.fail(&failure);
                    Event::Error(failure)
                }
            };
            log.write(event).await;
        })
    }

    /// The number of runs that have a slot.
    pub fn running(&self) -> usize {
        self.resources.slots.taken()
    }

    /// Whether a run that is started now would get a slot at once.
    pub fn has_free_slot(&self) -> bool {
        self.running() < self.resources.settings.max_runs
    }

    /// Whether new runs are refused.
    pub fn is_closing(&self) -> bool {
        self.tasks.is_closed()
    }

    /// Refuses new runs from now on.
    pub fn close(&self) {
        self.tasks.close();
    }

    /// Waits until no run is going on.
    pub async fn finished(&self) {
        self.tasks.wait().await;
    }

    /// Cancels every run. Each ends with an event that says so.
    pub fn stop_all(&self) {
        for run in self.registry.all() {
            let (id, phase, project) = (run.id(), run.phase().name(), run.project());
            tracing::warn!(run = %id, phase, user = %project.user, project = %project.project, "a run is stopped");
        }
        self.stop.cancel();
    }

    /// Starts a run in the background, and returns its stream.
    fn start<F: Future<Output = ()> + Send + 'static>(
        &self,
        project: ProjectKey,
        on_disconnect: OnDisconnect,
        work: impl FnOnce(Arc<Run>, LogWriter) -> F,
    ) -> RunStream {
        let (writer, log) = Log::create();
        let run = Arc::new(Run::new(project, on_disconnect, self.stop.child_token(), log));
        // The stream is attached before the run begins, so that it misses no event.
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
