//! Reloads: a container takes in what others have committed before it reads.
//!
//! ```text
//!            a peer told of a change here, or the last reload is older than the greatest age
//!   fresh ─────────────────────────────────────────────────────▶ stale
//!     ▲                                                            │ a read arrives
//!     │                                                            ▼
//!     │      nobody has a file open                        gate is closed
//!     ├───────────── reloading ◀───────────────────────── (no read begins)
//!     │ it succeeded     │ it was refused, or files stay open         │
//!     └──────────────────┴────────▶ gate is opened, still stale ◀─────┘
//! ```
//!
//! A reload takes long on a large volume, and no file may be open and none can be found while it
//! goes on. So it is not the price of each read: a place (a project, or the assets of a user) is
//! stale only if a peer said that it has changed it, and everything is stale if the last reload is
//! too long ago, in case such a message was lost. All who wait for a reload share it. One counts
//! only if it was issued after what made the place stale.
//!
//! Where a reload fails, reads get what is there, because an older version of a game is better than
//! none, and the place stays stale.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::gate::{Activity, Gate};
use super::layout::ProjectKey;
use super::socket::{Operation, Socket, SocketError};
use crate::types::UserId;

/// How long reads are held back while files are being closed. Then the reload is put off.
const CLOSING: Duration = Duration::from_secs(2);
/// How long no reload is tried after one that failed, so that a broken server does not make each
/// read wait.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How long is waited before a reload that was refused is asked for again.
const PAUSE: Duration = Duration::from_millis(50);
/// How many places are remembered as stale. If there are more, everything is stale.
const MAX_TOLD: usize = 10_000;

/// A part of the volume that changes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A project.
    Project(ProjectKey),
    /// The assets of a user.
    Assets(UserId),
}

/// Why a reload failed.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("files stay open")]
    InUse,
    #[error(transparent)]
    Socket(#[from] SocketError),
}

/// The reloads of one volume.
#[derive(Debug)]
pub(super) struct Reloads {
    socket: Arc<Socket>,
    /// How long one reload may take.
    limit: Duration,
    /// How long ago the last reload may be.
    max_age: Duration,
    gate: Arc<Gate>,
    is_allowed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the last reload that succeeded was issued. At first, when the worker started, because
    /// a volume is mounted as it is then.
    issued: Instant,
    /// When peers told that they had changed a place, if no reload was issued since.
    told: HashMap<Place, Instant>,
    failed: Option<Instant>,
    /// When the reload that is under way was begun.
    running: Option<Instant>,
    /// Those whom the reload under way serves, and those who wait for the next one.
    served: Vec<oneshot::Sender<()>>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Reloads {
    pub(super) fn new(
        socket: Arc<Socket>,
        limit: Duration,
        max_age: Duration,
        gate: Arc<Gate>,
    ) -> Self {
        let state = State {
            issued: Instant::now(),
            told: HashMap::new(),
            failed: None,
            running: None,
            served: Vec::new(),
            waiting: Vec::new(),
        };
        Self {
            socket,
            limit,
            max_age,
            gate,
            is_allowed: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// Lets the volume be reloaded from now on.
    pub(super) fn allow(&self) {
        self.is_allowed.store(true, Ordering::Release);
    }

    /// Notes that a peer has committed a change of this place.
    pub(super) fn told(&self, place: Place) {
        let mut state = self.state();
        let now = Instant::now();
        if state.told.len() < MAX_TOLD || state.told.contains_key(&place) {
            state.told.insert(place, now);
        } else if let Some(long_ago) = now.checked_sub(self.max_age) {
            state.issued = state.issued.min(long_ago);
        }
    }

    /// Waits until this place is fresh, or until that has failed.
    pub(super) async fn freshen(self: &Arc<Self>, place: Place) {
        if !self.is_allowed.load(Ordering::Acquire) {
            return;
        }
        let reloaded = {
            let mut state = self.state();
            let now = Instant::now();
            // A reload counts if it was issued then or later.
            let needed = state.told.get(&place).copied().max(now.checked_sub(self.max_age));
            if needed.is_none_or(|needed| needed < state.issued)
                || state.failed.is_some_and(|failed| now < failed + AFTER_FAILURE)
            {
                return;
            }
            let (sender, reloaded) = oneshot::channel();
            if state.running.is_some_and(|began| needed < Some(began)) {
                state.served.push(sender);
            } else {
                state.waiting.push(sender);
            }
            if state.running.is_none() {
                state.running = Some(now);
                // A task of its own, so that it goes on if the client leaves.
                tokio::spawn(Arc::clone(self).run());
            }
            reloaded
        };
        // An error means that the worker is about to end.
        drop(reloaded.await);
    }

    /// Reloads until nobody waits any more.
    async fn run(self: Arc<Self>) {
        loop {
            {
                let mut state = self.state();
                let waiting = std::mem::take(&mut state.waiting);
                state.served.extend(waiting);
                if state.served.is_empty() {
                    state.running = None;
                    return;
                }
            }
            let result = self.reload().await;
            let mut state = self.state();
            match result {
                Ok(issued) => {
                    state.issued = issued;
                    state.told.retain(|_, told| *told >= issued);
                    state.failed = None;
                }
                Err(error) => {
                    tracing::warn!(%error, "the volume was not reloaded; reads may be of older versions");
                    state.failed = Some(Instant::now());
                }
            }
            for one in std::mem::take(&mut state.served) {
                // A client that has left does not wait any more.
                one.send(()).unwrap_or_default();
            }
        }
    }

    /// One reload. Returns when it was issued.
    async fn reload(&self) -> Result<Instant, ReloadError> {
        let deadline = Instant::now() + self.limit;
        // Not while a commit is under way, because the server does one thing at a time, and reads
        // would be held back for both.
        let _turn =
            timeout_at(deadline, self.socket.turn()).await.map_err(|_| SocketError::Late)?;
        loop {
            let issued = Instant::now();
            self.state().running = Some(issued);
            let closed = self.gate.close();
            let unused = self.gate.without_any(&[Activity::Read, Activity::Copy, Activity::Save]);
            let in_time = timeout_at(deadline.min(issued + CLOSING), unused).await;
            in_time.map_err(|_| ReloadError::InUse)?;
            let result = self.socket.ask(Operation::Reload, deadline).await;
            drop(closed);
            match result {
                Ok(()) => return Ok(issued),
                // An upload has its file open for as long as its client sends.
                Err(_) if self.gate.in_flight().uploads > 0 => return Err(ReloadError::InUse),
                Err(error) if error.is_passing() && Instant::now() + PAUSE < deadline => {
                    sleep_until(Instant::now() + PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
