//! The order in which versions are listed: what led to the present one, newest first.
//!
//! Restoring an older version makes a new one on top of all others, so that nothing is lost. For whoever
//! takes back a change after the other, what was undone is no longer on the way: behind a version that
//! brought an older one back comes that older one. Otherwise the second change that is taken back
//! would be the first one again.

use std::collections::{BinaryHeap, HashSet};

use git2::{Commit, Oid, Repository};

/// How the message begins of a version that brought an older one back.
const RESTORED: &str = "Restored to ";
/// How the line begins that names the older one.
const TRAILER: &str = "Restored-Version: ";

/// Walks versions by date from those that were pushed on, each once, and reads no more of them than
/// it is asked for.
pub(super) struct Lineage<'r> {
    repository: &'r Repository,
    /// By time, and of one second the one that was pushed last.
    waiting: BinaryHeap<(i64, usize, Oid)>,
    seen: HashSet<Oid>,
    with_undone: bool,
}

impl<'r> Lineage<'r> {
    /// A walk that passes over what was undone, unless it is wanted.
    pub(super) fn new(repository: &'r Repository, with_undone: bool) -> Self {
        Self { repository, waiting: BinaryHeap::new(), seen: HashSet::new(), with_undone }
    }

    /// Adds a version to go on from.
    pub(super) fn push(&mut self, id: Oid) -> Result<(), git2::Error> {
        if self.seen.insert(id) {
            let time = self.repository.find_commit(id)?.time().seconds();
            self.waiting.push((time, self.seen.len(), id));
        }
        Ok(())
    }

    fn step(&mut self, id: Oid) -> Result<Commit<'r>, git2::Error> {
        let commit = self.repository.find_commit(id)?;
        let older = if self.with_undone { None } else { self.brought_back(&commit) };
        match older {
            Some(older) => {
                self.push(older)?;
                // The first parent leads to what was undone; others were saved beside it.
                for parent in commit.parent_ids().skip(1) {
                    self.push(parent)?;
                }
            }
            None => {
                for parent in commit.parent_ids() {
                    self.push(parent)?;
                }
            }
        }
        Ok(commit)
    }

    /// The older version that this one brought back, if it is there.
    fn brought_back(&self, commit: &Commit<'_>) -> Option<Oid> {
        let older = restored(commit.message().ok()?)?;
        self.repository.find_commit(older).is_ok().then_some(older)
    }
}

impl<'r> Iterator for Lineage<'r> {
    type Item = Result<Commit<'r>, git2::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let (_, _, id) = self.waiting.pop()?;
        Some(self.step(id))
    }
}

/// The message of the version that restoring `commit` makes. The relay's page hides versions whose
/// first line has these English words, so that restoring does not itself become what is taken back
/// next; [`restored`] reads the last line.
pub(super) fn restoring_message(short: &str, commit: Oid) -> String {
    format!("{RESTORED}{short}（バージョンを復元）\n\n{TRAILER}{commit}\n")
}

/// The version that a version with this message brought back; `None` for every other version.
fn restored(message: &str) -> Option<Oid> {
    if !message.starts_with(RESTORED) {
        return None;
    }
    let id = message.lines().rev().find_map(|line| line.strip_prefix(TRAILER))?;
    Oid::from_str(id.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_version_that_came_back() {
        let id = Oid::from_str("0123456789abcdef0123456789abcdef01234567").unwrap();
        let message = restoring_message("0123456", id);
        assert!(message.starts_with("Restored to 0123456"));
        assert_eq!(restored(&message), Some(id));
        assert_eq!(restored(&format!("敵を追加\n\n{TRAILER}{id}")), None);
        assert_eq!(restored("Restored to 0123456"), None);
        assert_eq!(restored("Restored to 0123456\n\nRestored-Version: x"), None);
    }
}
