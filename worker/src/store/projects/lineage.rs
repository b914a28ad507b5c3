//! The lineage: the order in which versions are listed. It has the versions that led to the present
//! one, the newest first.
//!
//! Restoring an older version makes a new one on top of all others, so no version is lost. In the
//! list, a version that restored an older one is followed by that older one, and the versions that
//! were undone are left out. Otherwise a user who undoes twice would undo the first undo.

use std::collections::{BinaryHeap, HashSet};

use git2::{Commit, Oid, Repository};

/// How the message begins of a version that brought an older one back.
const RESTORED: &str = "Restored to ";
/// How the line begins that names the older one.
const TRAILER: &str = "Restored-Version: ";

/// Walks versions by date, beginning with those that were pushed, each once. It reads only as many
/// versions as the caller takes.
pub(super) struct Lineage<'r> {
    repository: &'r Repository,
    /// The versions to visit, sorted by time; in the same second, the one that was pushed last
    /// comes first.
    waiting: BinaryHeap<(i64, usize, Oid)>,
    seen: HashSet<Oid>,
    with_undone: bool,
}

impl<'r> Lineage<'r> {
    /// Begins a walk that leaves out what was undone, unless `with_undone` is true.
    pub(super) fn new(repository: &'r Repository, with_undone: bool) -> Self {
        Self { repository, waiting: BinaryHeap::new(), seen: HashSet::new(), with_undone }
    }

    /// Adds a version from which the walk goes on.
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
                // The first parent leads to what was undone. Further parents were saved at the same
                // time by other containers.
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

    /// The older version that this one has restored, if it exists.
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
