//! The runs that are under way, by their ids.
//!
//! A run is listed from its request until its last event is written. Whoever wants to come back to a
//! run after that needs it here for longer, with a bound on how many ended ones are kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::run::Run;
use crate::types::RunId;

/// All runs under way.
#[derive(Debug, Default)]
pub struct Registry(Mutex<BTreeMap<RunId, Arc<Run>>>);

/// The entry of one run. It goes when this is dropped.
#[derive(Debug)]
pub struct Listed {
    registry: Arc<Registry>,
    id: RunId,
}

impl Registry {
    fn runs(&self) -> MutexGuard<'_, BTreeMap<RunId, Arc<Run>>> {
        // Nothing that could panic is done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a run.
    pub fn list(self: &Arc<Self>, run: Arc<Run>) -> Listed {
        let id = run.id();
        self.runs().insert(id, run);
        Listed { registry: Arc::clone(self), id }
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Vec<Arc<Run>> {
        self.runs().values().cloned().collect()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.registry.runs().remove(&self.id);
    }
}
