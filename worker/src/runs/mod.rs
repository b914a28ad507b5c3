//! One generation, from request to saved version.

mod apply;
pub mod claude;
pub mod events;
pub mod failure;
mod generate;
pub mod guard;
pub mod permits;
pub mod proof;
mod save;
mod verdict;
mod wait;
pub mod workspace;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use apply::Application;
pub use generate::Request;
pub use save::merge_warning;

use crate::config::Config;
use crate::models::broker::Broker;
use crate::sandbox::launch::Launcher;
use crate::store::projects::Projects;
use guard::Guard;
use permits::{Line, Turns};
use proof::ProofWatch;
use workspace::Scratch;

/// The runs under way, and everything that a run needs.
#[derive(Debug)]
pub struct Runs {
    config: Arc<Config>,
    projects: Projects,
    scratch: Scratch,
    slots: Line,
    turns: Turns,
    broker: Broker,
    guard: Guard,
    launcher: Launcher,
    proof: ProofWatch,
    /// Runs under way, for waiting at the end.
    tasks: TaskTracker,
    /// Stops every run.
    stop: CancellationToken,
}

impl Runs {
    /// No runs yet.
    pub fn new(
        config: Arc<Config>,
        projects: Projects,
        scratch: Scratch,
        broker: Broker,
        guard: Guard,
        launcher: Launcher,
        proof: ProofWatch,
    ) -> Self {
        Self {
            slots: Line::new(config.runs.max_runs),
            turns: Turns::default(),
            config,
            projects,
            scratch,
            broker,
            guard,
            launcher,
            proof,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Runs that have a slot.
    pub fn running(&self) -> usize {
        self.slots.taken()
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
