//! Own references: each save writes one for its version, under a name that no other save uses.
//!
//! On a volume the last writer of a file wins, and a branch is a file. So if two containers save at
//! the same time, the branch has only one of the two versions. The reference of the other version
//! still leads to it, and the next save makes it a parent.

use std::collections::HashSet;

use git2::{ErrorCode, Oid, Repository};

/// The place of the references of versions.
pub(in crate::store::projects) const VERSIONS: &str = "refs/dreamcore/versions/";
/// The place of the references of partial versions.
pub(in crate::store::projects) const PARTIAL: &str = "refs/dreamcore/partial/";

/// How many references are kept of versions that the newest one contains. If another container
/// overwrites the branch, these lead to its versions.
const KEPT: usize = 8;
/// How many stray versions one save makes its parents.
const MAX_STRAYS: usize = 16;
/// How many references one save removes at most, so that it does not take long. Each save adds one.
const MAX_PRUNED: usize = 32;
/// How many of the newest versions are searched first. Each save may make two.
const RECENT: usize = 4 * KEPT;

/// An own reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::projects) struct OwnRef {
    /// The full name.
    pub(in crate::store::projects) name: String,
    /// The commit that it refers to.
    pub(in crate::store::projects) id: Oid,
}

impl OwnRef {
    /// Writes a new reference.
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

    /// Removes the reference. It is not an error if it does not exist.
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

/// All references of one place, the oldest first. One that cannot be read is left out.
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

/// The relation of the versions with own references to the newest version.
#[derive(Debug, Default)]
pub(in crate::store::projects) struct Standing {
    /// Versions that the newest one does not contain, because another container saved them at the
    /// same time.
    pub(in crate::store::projects) strays: Vec<Oid>,
    /// References of versions that the newest one contains, the oldest first.
    merged: Vec<OwnRef>,
    /// The number of all references.
    count: usize,
}

impl Standing {
    /// Reads all references except those of saves that are in progress.
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
            // A commit that cannot be read cannot become a parent.
            let readable = || super::tree_of(repository, own.id).is_ok();
            let has_room = standing.strays.len() < MAX_STRAYS;
            if has_room && !standing.strays.iter().copied().any(contained) && readable() {
                standing.strays.push(own.id);
            }
        }
        standing.merged.reverse();
        Ok(standing)
    }

    /// After a save, removes references of contained versions, except the newest ones.
    pub(in crate::store::projects) fn prune(
        &self,
        repository: &Repository,
    ) -> Result<(), git2::Error> {
        let old = (self.count + 1).saturating_sub(KEPT).min(MAX_PRUNED);
        self.merged.iter().take(old).try_for_each(|own| own.remove(repository))
    }
}

/// Which of these versions are among the last versions of the history. Nearly always all are, and
/// then this short walk replaces a long one for each.
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
        // If the history is damaged, the search for each single version reports it.
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

/// Whether `older` is in the history of `newer`.
pub(in crate::store::projects) fn is_ancestor(
    repository: &Repository,
    older: Oid,
    newer: Oid,
) -> bool {
    repository.graph_descendant_of(newer, older).unwrap_or_default()
}
