//! Who may run: a fixed number of runs at a time, and one a project.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::store::projects::ProjectKey;

/// All places, and who has them.
#[derive(Debug)]
pub struct Registry {
    taken: Mutex<Taken>,
    changed: Notify,
}

#[derive(Debug)]
struct Taken {
    /// Free slots; the number names a scratch folder.
    free: Vec<usize>,
    projects: HashSet<ProjectKey>,
}

/// A place for one run. Given back when dropped.
#[derive(Debug)]
pub struct Place {
    registry: Arc<Registry>,
    slot: usize,
    key: ProjectKey,
}

/// What a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// Another run on the same project.
    Project,
    /// A free place.
    Worker,
}

impl Registry {
    /// A registry with `places` places.
    pub fn new(places: usize) -> Arc<Self> {
        let taken = Taken { free: (0..places).rev().collect(), projects: HashSet::new() };
        Arc::new(Self { taken: Mutex::new(taken), changed: Notify::new() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Both fields change together under the lock, without a call that could panic.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs under way.
    pub fn running(&self) -> usize {
        self.taken().projects.len()
    }

    /// Takes a place at once, or says what there is to wait for.
    pub fn try_enter(self: &Arc<Self>, key: ProjectKey) -> Result<Place, Busy> {
        let mut taken = self.taken();
        if taken.projects.contains(&key) {
            return Err(Busy::Project);
        }
        let slot = taken.free.pop().ok_or(Busy::Worker)?;
        taken.projects.insert(key);
        Ok(Place { registry: Arc::clone(self), slot, key })
    }

    /// Takes a place, waiting up to `patience` for one.
    pub async fn enter(
        self: &Arc<Self>,
        key: ProjectKey,
        patience: Duration,
    ) -> Result<Place, Busy> {
        let deadline = Instant::now() + patience;
        loop {
            // Listening begins before looking, so that no change in between is missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let busy = match self.try_enter(key) {
                Ok(place) => return Ok(place),
                Err(busy) => busy,
            };
            if timeout_at(deadline, changed).await.is_err() {
                return Err(busy);
            }
        }
    }
}

impl Place {
    /// The number of the place, from 0.
    pub fn slot(&self) -> usize {
        self.slot
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.registry.taken();
        taken.free.push(self.slot);
        taken.projects.remove(&self.key);
        drop(taken);
        self.registry.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u128) -> ProjectKey {
        let id = uuid::Uuid::from_u128(n).to_string();
        ProjectKey { user: id.parse().unwrap(), project: id.parse().unwrap() }
    }

    #[test]
    fn one_run_a_project_and_no_more_than_places() {
        let registry = Registry::new(2);
        let first = registry.try_enter(key(1)).unwrap();
        assert_eq!(registry.try_enter(key(1)).unwrap_err(), Busy::Project);
        let second = registry.try_enter(key(2)).unwrap();
        assert_ne!(first.slot(), second.slot());
        assert_eq!(registry.try_enter(key(3)).unwrap_err(), Busy::Worker);
        drop(first);
        assert!(registry.try_enter(key(1)).is_ok());
        assert_eq!(registry.running(), 1);
    }

    #[tokio::test]
    async fn waiting_ends_when_a_place_is_free_or_patience_is_over() {
        let registry = Registry::new(1);
        let place = registry.try_enter(key(1)).unwrap();
        let short = registry.enter(key(2), Duration::from_millis(20)).await;
        assert_eq!(short.unwrap_err(), Busy::Worker);
        let waiting = tokio::spawn({
            let registry = Arc::clone(&registry);
            async move { registry.enter(key(2), Duration::from_secs(30)).await }
        });
        tokio::task::yield_now().await;
        drop(place);
        assert!(waiting.await.unwrap().is_ok());
    }
}
