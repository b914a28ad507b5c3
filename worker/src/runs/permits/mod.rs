//! The two permits that a run needs before it may begin. It waits for each by itself.
//!
//! The **turn** of its project: two runs of one project at the same time would overwrite each
//! other. A **slot**: there are as many as runs may work at the same time, and its number names the
//! run's scratch folder. A run takes the turn first, so while it waits for another run of its
//! project, it does not keep a slot from other projects. A slot does not depend on a project. All
//! users have an equal share of the slots; a turn is only wanted by runs of one user.

mod line;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

pub use line::{Line, Permit, Place, Step, Waiting};

use crate::store::projects::ProjectKey;
use line::WeakLine;

/// The turns of all projects.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<ProjectKey, WeakLine<()>>>);

impl Turns {
    /// The line for the turn of a project. It exists as long as a run has the turn or waits for it.
    pub fn of(&self, key: ProjectKey) -> Line<()> {
        // No code that could panic runs under the lock.
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&key).and_then(WeakLine::upgrade) {
            return line;
        }
        lines.retain(|_, line| line.upgrade().is_some());
        let line = Line::new(1);
        lines.insert(key, line.downgrade());
        line
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
    fn each_project_has_one_turn_and_nothing_is_kept_of_those_that_nobody_wants() {
        let turns = Turns::default();
        let first = turns.of(key(1)).enter(()).unwrap();
        drop(turns.of(key(1)).enter(()).unwrap_err());
        let second = turns.of(key(2)).enter(()).unwrap();
        drop(first);
        turns.of(key(1)).enter(()).unwrap();
        drop(second);
        drop(turns.of(key(3)));
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_project_that_is_waited_for_keeps_its_line() {
        let turns = Turns::default();
        let turn = turns.of(key(1)).enter(()).unwrap();
        let waiting = turns.of(key(1)).enter(()).unwrap_err();
        drop(turn);
        drop(turns.of(key(1)).enter(()).expect_err("somebody got past"));
        drop(waiting);
        turns.of(key(1)).enter(()).unwrap();
    }
}
