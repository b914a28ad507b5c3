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

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::gate::{Activity, Gate, Pass};
use super::reloads::Place;
use super::socket::{Operation, Socket, SocketError};

/// How long is waited after a refusal that passes, at first and at most.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How many news wait for being passed on. Further ones wait with their requests.
const MAX_NEWS: usize = 64;

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
    place: Place,
    _pass: Pass,
}

impl Change {
    pub(super) fn begin(commits: Option<Arc<Commits>>, place: Place, gate: &Arc<Gate>) -> Self {
        Self { commits, place, _pass: gate.enter(Activity::Commit) }
    }

    /// Waits until everything that was changed so far is committed, and until peers were told.
    /// Returns at once if it is already, and where no volume has to be asked.
    pub async fn commit(self) -> Result<(), NotCommitted> {
        match &self.commits {
            Some(commits) => commits.publish(self.place).await,
            None => Ok(()),
        }
    }
}

/// A committed change that peers are to be told of.
#[derive(Debug)]
pub struct News {
    /// What was changed.
    pub place: Place,
    /// Receives a value when they were told.
    pub told: oneshot::Sender<()>,
}

/// The commits of one volume.
#[derive(Debug)]
pub(super) struct Commits {
    socket: Arc<Socket>,
    /// How long one commit may take.
    limit: Duration,
    gate: Arc<Gate>,
    state: Mutex<State>,
    /// Where news go, if anybody passes them on to peers.
    news: OnceLock<mpsc::Sender<News>>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of changes that are committed. `None` until the first commit of this worker.
    committed: Option<u64>,
    is_running: bool,
    /// Those who wait for the next commit.
    waiting: Vec<oneshot::Sender<Result<(), NotCommitted>>>,
    /// Places of which peers are to be told after the next commit, because theirs has failed.
    untold: HashSet<Place>,
}

impl Commits {
    pub(super) fn new(socket: Arc<Socket>, limit: Duration, gate: Arc<Gate>) -> Self {
        Self { socket, limit, gate, state: Mutex::default(), news: OnceLock::new() }
    }

    /// The news of this volume from now on. Only the first caller gets them.
    pub(super) fn news(&self) -> Option<mpsc::Receiver<News>> {
        let (sender, receiver) = mpsc::channel(MAX_NEWS);
        self.news.set(sender).ok().map(|()| receiver)
    }

    async fn publish(self: &Arc<Self>, place: Place) -> Result<(), NotCommitted> {
        let caught_up = self.catch_up().await;
        let was_untold = match &caught_up {
            Ok(_) => self.state().untold.remove(&place),
            Err(_) => self.state().untold.insert(place),
        };
        if caught_up? || was_untold {
            self.tell(place).await;
        }
        Ok(())
    }

    /// Tells peers of a change, and waits until they know or cannot be reached.
    async fn tell(&self, place: Place) {
        let Some(sender) = self.news.get() else { return };
        let (told, is_told) = oneshot::channel();
        if sender.send(News { place, told }).await.is_ok() {
            // An error means that the worker is about to end.
            drop(is_told.await);
        }
    }

    /// Waits until everything that was changed so far is committed. Returns whether it was not
    /// already.
    async fn catch_up(self: &Arc<Self>) -> Result<bool, NotCommitted> {
        let committed = {
            let mut state = self.state();
            if state.committed == Some(self.gate.changes()) {
                return Ok(false);
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
        committed.await.unwrap_or(Err(NotCommitted(SocketError::BrokeOff))).map(|()| true)
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
        let _turn =
            timeout_at(deadline, self.socket.turn()).await.map_err(|_| SocketError::Late)?;
        loop {
            let result = self.socket.ask(Operation::Commit, deadline).await;
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
