//! Places for connections. If all are taken, an idle connection is closed for a new one.
//!
//! Every client that can connect can hold a connection without sending a request. So a connection
//! that waits for a request, or for the rest of a request's head, keeps its place only until
//! another connection needs it: the one that has waited longest is closed. A connection with a
//! request keeps its place until the answer has been passed on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a connection that is asked to close may take. It closes at once, unless a request
/// arrives at that moment.
const CLOSING: Duration = Duration::from_millis(100);

/// A fixed number of places.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

/// The connections without a request, beginning with the one that has waited longest.
#[derive(Debug, Default)]
struct Waiting {
    by_age: BTreeMap<u64, Arc<Notify>>,
    next: u64,
}

/// The place of a connection, which at first waits for a request.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    /// Its number among the waiting connections. `None` while it has a request or is asked to
    /// close.
    number: Mutex<Option<u64>>,
    is_wanted: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

/// A request of a connection. The connection counts as busy until this value is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Place>);

impl Places {
    pub(super) fn new(count: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { free, waiting: Mutex::default() })
    }

    /// Takes a place, if necessary that of the connection that has waited longest for a request.
    /// `None` if all connections have a request.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Arc<Place>> {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if self.close_oldest() => {
                timeout(CLOSING, Arc::clone(&self.free).acquire_owned()).await.ok()?.ok()?
            }
            Err(_) => return None,
        };
        let place = Place {
            places: Arc::clone(self),
            number: Mutex::new(None),
            is_wanted: Arc::new(Notify::new()),
            _permit: permit,
        };
        place.wait();
        Some(Arc::new(place))
    }

    /// Asks the connection that has waited longest to close. Returns false if none waits.
    pub(super) fn close_oldest(&self) -> bool {
        let oldest = lock(&self.waiting).by_age.pop_first();
        oldest.map(|(_, is_wanted)| is_wanted.notify_one()).is_some()
    }
}

impl Place {
    /// Marks the connection as busy with a request.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.stop_waiting();
        Busy(Arc::clone(self))
    }

    /// Resolves when the connection must close. `is_idle` says whether everything has been written;
    /// if not, the connection goes on and counts as the one that has waited least.
    pub(super) async fn wanted(&self, is_idle: impl Fn() -> bool) {
        loop {
            self.is_wanted.notified().await;
            // If it has a request now, it was asked to close before the request came.
            if lock(&self.number).is_none() {
                continue;
            }
            if is_idle() {
                return;
            }
            self.wait();
        }
    }

    fn wait(&self) {
        let number = {
            let mut waiting = lock(&self.places.waiting);
            waiting.next += 1;
            let number = waiting.next;
            waiting.by_age.insert(number, Arc::clone(&self.is_wanted));
            number
        };
        *lock(&self.number) = Some(number);
    }

    fn stop_waiting(&self) {
        let number = lock(&self.number).take();
        if let Some(number) = number {
            lock(&self.places.waiting).by_age.remove(&number);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.wait();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    async fn is_wanted(place: &Place) -> bool {
        tokio::task::yield_now().await;
        place.wanted(|| true).now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_has_waited_longest_makes_way() {
        let places = Places::new(2);
        let (first, second) = (places.take().await.unwrap(), places.take().await.unwrap());
        // After a request it is the connection that has waited least.
        drop(first.busy());
        let third = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take().await }
        });
        tokio::task::yield_now().await;
        assert!(!is_wanted(&first).await);
        assert!(is_wanted(&second).await);
        drop(second);
        assert!(third.await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_keeps_its_place() {
        let places = Places::new(1);
        let place = places.take().await.unwrap();
        let busy = place.busy();
        assert!(places.take().await.is_none());
        assert!(!is_wanted(&place).await);
        drop(busy);
        // The request came after the connection was asked to close and before it closed.
        assert!(places.close_oldest());
        let busy = place.busy();
        assert!(!is_wanted(&place).await);
        drop(busy);
        assert!(!is_wanted(&place).await);
        // A connection with unwritten bytes is not closed, but waits again.
        assert!(places.close_oldest());
        assert!(place.wanted(|| false).now_or_never().is_none());
        assert!(places.close_oldest());
        assert!(is_wanted(&place).await);
    }

    #[tokio::test]
    async fn a_connection_that_ends_leaves_nothing_behind() {
        let places = Places::new(1);
        for _ in 0..3 {
            let place = places.take().await.unwrap();
            let busy = place.busy();
            drop((place, busy));
            assert!(!places.close_oldest());
        }
    }
}
