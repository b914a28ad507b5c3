//! Commits: what a container has changed is published before the client hears of it.
//!
//! ```text
//!                  changed                     taken by a commit
//!   nothing new ───────────▶ waits for a commit ────────────────▶ is being committed
//!        ▲                          ▲                                   │   │
//!        │                          └── it failed: the client gets ─────┘   │
//!        │                              STORAGE_NOT_COMMITTED               │
//!        └──────────────────────── it succeeded: the client gets its answer ┘
//! ```
//!
//! One commit serves all changes that had ended when it began. A change that ends while a commit is
//! under way waits for the next one, because the one under way may have passed over its files. So
//! at most two commits serve any number of requests at the same time. A change whose commit failed
//! stays on this container's copy of the volume and goes out with the next commit; until then no
//! request that changes something is answered without one, also if it found its change made already.
//!
//! A worker that starts does not know whether its predecessor had its last change committed, so its
//! first answer needs a commit in any case.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::gate::{Activity, Gate, Pass};
use super::socket::{Operation, SocketError, ask};

/// How long is waited after a refusal that passes, at first and at most.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A change was made but not committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the change is saved here, but not committed: {0}")]
pub struct NotCommitted(SocketError);

/// A change of the volume from before it begins until it is committed. The worker does not end in
/// between.
#[derive(Debug)]
#[must_use = "a change that is not committed may be lost with the container"]
pub struct Change {
    commits: Option<Arc<Commits>>,
    _pass: Pass,
}

impl Change {
    pub(super) fn begin(commits: Option<Arc<Commits>>, gate: &Arc<Gate>) -> Self {
        Self { commits, _pass: gate.enter(Activity::Commit) }
    }

    /// Waits until everything that was changed so far is committed. Returns at once if it is
    /// already, and where no volume has to be asked.
    pub async fn commit(self) -> Result<(), NotCommitted> {
        match &self.commits {
            Some(commits) => commits.catch_up().await,
            None => Ok(()),
        }
    }
}

/// The commits of one volume.
#[derive(Debug)]
pub(super) struct Commits {
    socket: PathBuf,
    /// How long one commit may take.
    limit: Duration,
    gate: Arc<Gate>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of changes that are committed. `None` until the first commit of this worker.
    committed: Option<u64>,
    is_running: bool,
    /// Those who wait for the next commit.
    waiting: Vec<oneshot::Sender<Result<(), NotCommitted>>>,
}

impl Commits {
    pub(super) fn new(socket: PathBuf, limit: Duration, gate: Arc<Gate>) -> Self {
        Self { socket, limit, gate, state: Mutex::default() }
    }

    async fn catch_up(self: &Arc<Self>) -> Result<(), NotCommitted> {
        let committed = {
            let mut state = self.state();
            if state.committed == Some(self.gate.changes()) {
                return Ok(());
            }
            let (sender, committed) = oneshot::channel();
            state.waiting.push(sender);
            if !state.is_running {
                state.is_running = true;
                // A task of its own, so that it goes on if the client leaves.
                tokio::spawn(Arc::clone(self).run());
            }
            committed
        };
        committed.await.unwrap_or(Err(NotCommitted(SocketError::BrokeOff)))
    }

    /// Commits until nobody waits any more.
    async fn run(self: Arc<Self>) {
        loop {
            let (served, changes) = {
                let mut state = self.state();
                if state.waiting.is_empty() {
                    state.is_running = false;
                    return;
                }
                // Everybody who waits has ended a change before the commit begins.
                (std::mem::take(&mut state.waiting), self.gate.changes())
            };
            let began = Instant::now();
            let result = self.commit().await;
            let (took_ms, requests) = (began.elapsed().as_millis(), served.len());
            match &result {
                Ok(()) => {
                    self.state().committed = Some(changes);
                    tracing::debug!(took_ms, requests, "the volume is committed");
                }
                Err(error) => {
                    tracing::error!(took_ms, requests, %error, "the volume was not committed");
                }
            }
            for one in served {
                // A client that has left does not wait any more.
                drop(one.send(result.clone().map_err(NotCommitted)));
            }
        }
    }

    /// One commit. It is repeated while the volume refuses for a reason that passes.
    async fn commit(&self) -> Result<(), SocketError> {
        let deadline = Instant::now() + self.limit;
        let mut pause = PAUSE;
        loop {
            let result = ask(&self.socket, Operation::Commit, deadline).await;
            let again = Instant::now() + pause;
            if again >= deadline || !result.as_ref().is_err_and(SocketError::is_passing) {
                return result;
            }
            sleep_until(again).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
