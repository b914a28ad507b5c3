//! The watch: measures how much of the machine runs use, and reports runs that use too much.
//!
//! One thread measures all runs, because it must not depend on the runtime that serves requests.
//! Twenty times per second it checks what is cheap to check: the free space of the disk and the free
//! memory of the machine. It measures processes and files less often: it spends at most a twentieth
//! of a processor on each, except that it measures at once when a disk fills quickly.

mod effort;
mod excess;
mod reserve;
mod watched;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::oneshot;

pub use excess::{Allowance, Excess};

use crate::safe_fs::Dir;
use crate::sandbox::usage::Members;
use reserve::Reserves;
use watched::Watched;

/// How often the free space and the free memory are checked.
const TICK: Duration = Duration::from_millis(50);

/// The handle with which runs are put under watch. The thread ends when it is dropped.
#[derive(Debug)]
pub struct Guard {
    runs: Sender<Watched>,
    crowd: u64,
}

/// What the watch finds out about one run. The watch of it ends when this is dropped.
#[derive(Debug)]
pub struct Findings {
    /// `None` once the reason was received.
    excess: Option<oneshot::Receiver<Excess>>,
    was_crowded: Arc<AtomicBool>,
    /// From this number of processes on, the run is crowded.
    crowd: u64,
}

impl Findings {
    /// Waits until the run uses too much, for ever if it does not. May be dropped and called again.
    pub async fn excess(&mut self) -> Excess {
        if let Some(told) = &mut self.excess {
            let excess = told.await;
            self.excess = None;
            if let Ok(excess) = excess {
                return excess;
            }
        }
        std::future::pending().await
    }

    /// The reason for which the run must end, if there is one that was not yet received.
    pub fn unheard(&mut self) -> Option<Excess> {
        self.excess.as_mut()?.try_recv().ok()
    }

    /// Whether the run has had most of the processes that it may have, so that the kernel may have
    /// refused it more. `remaining` is the number of processes that were there at its end: the more
    /// there are, the more seldom the watch measures them.
    pub fn was_crowded(&self, remaining: u64) -> bool {
        remaining >= self.crowd || self.was_crowded.load(Ordering::Relaxed)
    }
}

impl Guard {
    /// Starts the thread.
    pub fn start(allowance: Allowance) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        std::thread::Builder::new()
            .name("guard".to_owned())
            .spawn(move || watch(&receiver, &allowance))?;
        Ok(Self { runs: sender, crowd: allowance.crowd() })
    }

    /// Watches a run until the returned findings are dropped.
    pub fn watch(&self, members: Members, folder: Dir) -> Findings {
        let (tell, excess) = oneshot::channel();
        let was_crowded = Arc::new(AtomicBool::new(false));
        // The thread lives as long as `self`. If it has ended all the same, the run is not watched
        // any more, and its other limits hold.
        drop(self.runs.send(Watched::new(members, folder, tell, Arc::clone(&was_crowded))));
        Findings { excess: Some(excess), was_crowded, crowd: self.crowd }
    }
}

fn watch(new: &Receiver<Watched>, allowance: &Allowance) {
    let mut runs: Vec<Watched> = Vec::new();
    let mut reserves = Reserves::new();
    loop {
        let arrived = if runs.is_empty() {
            new.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            new.recv_timeout(TICK)
        };
        match arrived {
            Ok(run) => {
                if runs.is_empty() {
                    reserves.begin();
                }
                runs.push(run);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let ended = runs.extract_if(.., |run| !run.is_under_way()).count();
        for run in &mut runs {
            if let Some(excess) = run.look(allowance) {
                run.end(excess);
            }
        }
        let stopped = runs.extract_if(.., |run| !run.is_under_way()).count();
        if ended + stopped > 0 {
            reserves.wait_for_what_is_given_back();
        }
        reserves.keep(&mut runs, allowance);
    }
}
