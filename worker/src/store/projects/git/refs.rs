//! References of our own: one for every version that was saved, under a name that nobody else
//! writes.
//!
//! On a volume the last writer of a file wins, and a branch is a file. So two containers that save
//! at the same time leave one branch with one of two versions; the other is still found by the
//! reference that its save wrote, and the next save makes it a parent.

use std::collections::HashSet;

use git2::{ErrorCode, Oid, Repository};

/// Where the references of versions are.
pub(in crate::store::projects) const VERSIONS: &str = "refs/dreamcore/versions/";
/// Where the references of unfinished work are.
pub(in crate::store::projects) const PARTIAL: &str = "refs/dreamcore/partial/";

/// References of versions that are part of the newest one and kept all the same. While the branch
/// is being overwritten by another container, these are what leads to its versions.
const KEPT: usize = 8;
/// Versions that one save makes its parents.
const MAX_STRAYS: usize = 16;
/// References that one save removes, so that it never waits for many; each save adds one.
const MAX_PRUNED: usize = 32;
/// Versions before the newest that are looked at first: each save may make two.
const RECENT: usize = 4 * KEPT;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::projects) struct OwnRef {
    /// The whole name.
    pub(in crate::store::projects) name: String,
    /// The commit.
    pub(in crate::store::projects) id: Oid,
}

impl OwnRef {
    /// Writes a new one.
    pub(in crate::store::projects) fn write(
        repository: &Repository,
        kind: &str,
        name: &str,
        id: Oid,
    ) -> Result<Self, git2::Error> {
        let name = format!("{kind}{name}");
        repository.reference(&name, id, false, "save")?;
        Ok(Self { name, id })
    }

    /// Removes it. One that is not there is no error.
    pub(in crate::store::projects) fn remove(
        &self,
        repository: &Repository,
    ) -> Result<(), git2::Error> {
        match repository.find_reference(&self.name) {
            Ok(mut reference) => reference.delete(),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// All of a kind, oldest first. Those that cannot be read are left out.
pub(in crate::store::projects) fn list(
    repository: &Repository,
    kind: &str,
) -> Result<Vec<OwnRef>, git2::Error> {
    let mut found = Vec::new();
    for reference in repository.references_glob(&format!("{kind}*"))? {
        let Ok(reference) = reference else { continue };
        if let (Ok(name), Some(id)) = (reference.name(), reference.target()) {
            found.push(OwnRef { name: name.to_owned(), id });
        }
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// How the versions that have a reference stand to the newest one.
#[derive(Debug, Default)]
pub(in crate::store::projects) struct Standing {
    /// Versions that it does not contain: somebody else saved them at the same time.
    pub(in crate::store::projects) strays: Vec<Oid>,
    /// References of versions that it contains, oldest first.
    merged: Vec<OwnRef>,
    /// All references.
    count: usize,
}

impl Standing {
    /// Looks at all of them but those of saves that are under way.
    pub(in crate::store::projects) fn of(
        repository: &Repository,
        head: Option<Oid>,
        under_way: &[String],
    ) -> Result<Self, git2::Error> {
        let mut all = list(repository, VERSIONS)?;
        all.retain(|own| {
            let id = own.name.strip_prefix(VERSIONS).unwrap_or_default();
            !under_way.iter().any(|one| one == id)
        });
        let recent = recent(repository, head, &all)?;
        let mut standing = Self { count: all.len(), ..Self::default() };
        for own in all.into_iter().rev() {
            let contained = |by: Oid| by == own.id || is_ancestor(repository, own.id, by);
            if recent.contains(&own.id) || head.is_some_and(contained) {
                standing.merged.push(own);
                continue;
            }
            // A commit that cannot be read cannot be a parent.
            let readable = || super::tree_of(repository, own.id).is_ok();
            let has_room = standing.strays.len() < MAX_STRAYS;
            if has_room && !standing.strays.iter().copied().any(contained) && readable() {
                standing.strays.push(own.id);
            }
        }
        standing.merged.reverse();
        Ok(standing)
    }

    /// Removes references of contained versions after another version was saved, but for the
    /// newest few.
    pub(in crate::store::projects) fn prune(
        &self,
        repository: &Repository,
    ) -> Result<(), git2::Error> {
        let old = (self.count + 1).saturating_sub(KEPT).min(MAX_PRUNED);
        self.merged.iter().take(old).try_for_each(|own| own.remove(repository))
    }
}

/// Which of these versions are among the last of the newest one's history. Nearly always all of
/// them, and then this one short walk takes the place of a long one for each.
fn recent(
    repository: &Repository,
    head: Option<Oid>,
    all: &[OwnRef],
) -> Result<HashSet<Oid>, git2::Error> {
    let mut wanted: HashSet<Oid> = all.iter().map(|own| own.id).collect();
    let mut found = HashSet::new();
    let Some(head) = head.filter(|_| !wanted.is_empty()) else {
        return Ok(found);
    };
    let mut walk = repository.revwalk()?;
    walk.push(head)?;
    for id in walk.take(RECENT) {
        // Where the history is damaged, whoever asks for each version finds out.
        let Ok(id) = id else { break };
        if wanted.remove(&id) {
            found.insert(id);
        }
        if wanted.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// Whether `older` is part of the history of `newer`.
pub(in crate::store::projects) fn is_ancestor(
    repository: &Repository,
    older: Oid,
    newer: Oid,
) -> bool {
    repository.graph_descendant_of(newer, older).unwrap_or_default()
}
