//! The runs that are going on, by their ids.
//!
//! A run is listed from its request until its last event is written. To let clients come back to a
//! run after that, ended runs would have to be kept here, with a bound on their number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::run::Run;
use crate::types::RunId;

/// All runs that are going on.
#[derive(Debug, Default)]
pub struct Registry(Mutex<BTreeMap<RunId, Arc<Run>>>);

/// The entry of one run. It is removed when this value is dropped.
#[derive(Debug)]
pub struct Listed {
    registry: Arc<Registry>,
    id: RunId,
}

impl Registry {
    fn runs(&self) -> MutexGuard<'_, BTreeMap<RunId, Arc<Run>>> {
        // No code that could panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a run.
    pub fn list(self: &Arc<Self>, run: Arc<Run>) -> Listed {
        let id = run.id();
        self.runs().insert(id, run);
        Listed { registry: Arc::clone(self), id }
    }

    /// All runs, the oldest first.
    pub fn all(&self) -> Vec<Arc<Run>> {
        self.runs().values().cloned().collect()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.registry.runs().remove(&self.id);
    }
}
