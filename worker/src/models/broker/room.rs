//! Memory for the bodies of requests: how much of it one run may hold, and all runs together.
//!
//! A body takes memory as its bytes arrive, not as its head promises, and gives it back when the
//! last part of the worker that needs the body has dropped it. A body for which there is no memory
//! is not read on, so its sender waits.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most that one run may hold: two of the largest bodies.
const RUN_BYTES: usize = 64 << 20;
/// The most that all runs may hold together, beside what each of them has for itself.
const SHARED_BYTES: usize = 128 << 20;
/// What each run has for itself, however much the others hold. The CLI's ordinary requests have
/// some hundred kilobytes, so they never wait for another run.
const OWN_BYTES: usize = 2 << 20;

/// What all runs share.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Semaphore>);

impl Default for Pool {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SHARED_BYTES)))
    }
}

/// What one run may hold. Permits of the semaphores are bytes.
#[derive(Debug)]
pub(super) struct Room {
    run: Arc<Semaphore>,
    own: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

/// The memory of one body; dropping it gives the memory back.
#[derive(Debug, Default)]
pub(super) struct Held {
    run: Option<OwnedSemaphorePermit>,
    own: Option<OwnedSemaphorePermit>,
    shared: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// The room of a run.
    pub(super) fn new(pool: &Pool) -> Self {
        Self {
            run: Arc::new(Semaphore::new(RUN_BYTES)),
            own: Arc::new(Semaphore::new(OWN_BYTES)),
            shared: Arc::clone(&pool.0),
        }
    }

    /// Adds so many bytes to `held`, as soon as they may be had.
    pub(super) async fn take(&self, held: &mut Held, bytes: usize) {
        // A frame of a body is no larger than the buffer of its connection.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        join(&mut held.run, acquire(&self.run, bytes).await);
        if let Ok(own) = Arc::clone(&self.own).try_acquire_many_owned(bytes) {
            join(&mut held.own, Some(own));
        } else {
            join(&mut held.shared, acquire(&self.shared, bytes).await);
        }
    }
}

/// Nothing closes these semaphores, so there always is a permit in the end.
async fn acquire(semaphore: &Arc<Semaphore>, bytes: u32) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).acquire_many_owned(bytes).await.ok()
}

fn join(all: &mut Option<OwnedSemaphorePermit>, new: Option<OwnedSemaphorePermit>) {
    match (all.as_mut(), new) {
        (Some(all), Some(new)) => all.merge(new),
        (None, new) => *all = new,
        (Some(_), None) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// As much as one frame of a body.
    const FRAME: usize = 64 << 10;

    async fn fill(room: &Room, bytes: usize) -> Held {
        let mut held = Held::default();
        for _ in 0..bytes / FRAME {
            room.take(&mut held, FRAME).await;
        }
        held
    }

    async fn is_full(room: &Room) -> bool {
        let mut held = Held::default();
        timeout(Duration::from_millis(20), room.take(&mut held, FRAME)).await.is_err()
    }

    #[tokio::test]
    async fn a_run_holds_so_much_and_gets_it_back() {
        let room = Room::new(&Pool::default());
        let held = fill(&room, RUN_BYTES).await;
        assert!(is_full(&room).await);
        drop(held);
        drop(fill(&room, RUN_BYTES).await);
    }

    #[tokio::test]
    async fn a_run_has_something_for_itself_whatever_the_others_hold() {
        let pool = Pool::default();
        let hogs: Vec<_> = (0..3).map(|_| Room::new(&pool)).collect();
        let mut held = Vec::new();
        for hog in &hogs {
            let mut all = Held::default();
            let endless = async {
                for _ in 0..RUN_BYTES / FRAME {
                    hog.take(&mut all, FRAME).await;
                }
            };
            drop(timeout(Duration::from_millis(100), endless).await);
            held.push(all);
        }
        assert!(is_full(&hogs[2]).await, "the pool is used up");
        let ordinary = Room::new(&pool);
        let kept = fill(&ordinary, OWN_BYTES).await;
        assert!(is_full(&ordinary).await, "the rest is shared");
        drop(held);
        drop(kept);
        drop(fill(&ordinary, RUN_BYTES).await);
    }
}
