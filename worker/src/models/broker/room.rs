//! Room for the bodies of requests: how much memory one run, and all runs together, may use for
//! them.
//!
//! A body takes room while its bytes arrive, whatever length its head announces, and gives it back
//! when the last part of the worker that needs the body has dropped it. If there is no room, the
//! body is not read further, so its sender waits.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The room of one run, in bytes: enough for two of the largest bodies.
const RUN_BYTES: usize = 64 << 20;
/// The room of all runs together, in bytes, in addition to what each of them has for itself.
const SHARED_BYTES: usize = 128 << 20;
/// The room that each run has for itself, in bytes. The CLI's ordinary requests have some hundred
/// kilobytes, so they never wait for another run.
const OWN_BYTES: usize = 2 << 20;

/// The room that all runs share.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Semaphore>);

impl Default for Pool {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SHARED_BYTES)))
    }
}

/// The room of one run. A permit of the semaphores stands for one byte.
#[derive(Debug)]
pub(super) struct Room {
    run: Arc<Semaphore>,
    own: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

/// The room that one body takes. It is given back when this value is dropped.
#[derive(Debug, Default)]
pub(super) struct Held {
    run: Option<OwnedSemaphorePermit>,
    own: Option<OwnedSemaphorePermit>,
    shared: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Makes the room of a run.
    pub(super) fn new(pool: &Pool) -> Self {
        Self {
            run: Arc::new(Semaphore::new(RUN_BYTES)),
            own: Arc::new(Semaphore::new(OWN_BYTES)),
            shared: Arc::clone(&pool.0),
        }
    }

    /// Waits until there is room for `bytes` more bytes, and adds them to `held`.
    pub(super) async fn take(&self, held: &mut Held, bytes: usize) {
        // A frame of a body is not larger than the connection's buffer, so it fits into a `u32`.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        join(&mut held.run, acquire(&self.run, bytes).await);
        if let Ok(own) = Arc::clone(&self.own).try_acquire_many_owned(bytes) {
            join(&mut held.own, Some(own));
        } else {
            join(&mut held.shared, acquire(&self.shared, bytes).await);
        }
    }
}

/// Takes permits. No code closes these semaphores, so this always succeeds in the end.
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

    /// The size of one frame of a body.
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
