//! Choosing which part of a repository is sent.
//!
//! An object is "admitted" when it has been found sound, and everything that it refers to has been
//! admitted with it.

use std::collections::{BinaryHeap, HashMap, HashSet};

use git2::{ObjectType, Odb, OdbObject, Oid};

use super::references::{HeadFile, References};
use crate::id::Id;
use crate::limits::{Limits, MAX_COMMIT_BYTES, MAX_DEPTH, MAX_OBJECTS, MAX_TREE_BYTES};
use crate::measure::{Measure, Node, Nodes};
use crate::object::{self, Commit, EntryKind, Unsound};
use crate::receive::Head;

/// How many versions at the top of a branch may be passed over in the search for a sound one, and
/// how many bytes may be read for that.
const MAX_PASSED_OVER: usize = 1000;
const MAX_PASSED_BYTES: u64 = 64 << 20;
/// The branch of a history whose HEAD names none that can be used.
const BRANCH: &str = "refs/heads/main";

/// Reads objects, and remembers for each whether it is sound and whether it is sent.
pub(super) struct Plan<'o> {
    odb: &'o Odb<'o>,
    limits: &'o Limits,
    nodes: Nodes,
    refused: HashMap<Id, Unsound>,
    commits: HashMap<Id, Commit>,
    /// The objects that are sent.
    admitted: HashSet<Id>,
    admitted_bytes: u64,
    cut: HashSet<Id>,
    refused_versions: usize,
    reason: Option<Unsound>,
}

/// What is sent in addition to the objects.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) head: Option<Head>,
    pub(super) references: Vec<(String, Id)>,
}

impl<'o> Plan<'o> {
    pub(super) fn new(odb: &'o Odb<'o>, limits: &'o Limits) -> Self {
        Self {
            odb,
            limits,
            nodes: Nodes::new(),
            refused: HashMap::new(),
            commits: HashMap::new(),
            admitted: HashSet::new(),
            admitted_bytes: 0,
            cut: HashSet::new(),
            refused_versions: 0,
            reason: None,
        }
    }

    /// Decides what is sent: first all that HEAD needs, then what the other references need while
    /// there is room for it.
    pub(super) fn choose(&mut self, references: &References) -> Chosen {
        let head = self.choose_head(references);
        let mut chosen = Chosen { head, ..Chosen::default() };
        let ours = references.versions.iter().rev().chain(references.partial.iter().rev());
        for (name, id) in ours.chain(&references.others) {
            let is_head =
                chosen.head.as_ref().is_some_and(|head| head.branch.as_ref() == Some(name));
            let admitted = match self.read_header(*id) {
                _ if is_head => false,
                Ok((_, ObjectType::Tag)) => self.admit_tag(*id).is_ok(),
                _ => self.admit_history(*id).is_ok(),
            };
            if admitted && !is_in_the_way(name, &chosen) {
                chosen.references.push((name.clone(), *id));
            }
        }
        chosen
    }

    /// The newest version: the one at HEAD, or else the newest that is sound.
    fn choose_head(&mut self, references: &References) -> Option<Head> {
        let (branch, at) = match &references.head {
            HeadFile::Branch(name) => (Some(name.clone()), references.head_branch),
            HeadFile::Detached(id) => (None, Some(*id)),
            HeadFile::Nonsense => (Some(BRANCH.to_owned()), references.others.get(BRANCH).copied()),
        };
        if let Some(commit) = at.and_then(|id| self.admit_newest_sound(id)) {
            return Some(Head { branch, commit });
        }
        for id in references.versions.values().rev() {
            if self.admit_history(*id).is_ok() {
                return Some(Head { branch, commit: *id });
            }
        }
        let branches = references.others.iter().filter(|(name, _)| crate::names::is_branch(name));
        let mut branches: Vec<(i64, &String, Id)> = branches
            .filter_map(|(name, id)| Some((self.commit(*id).ok()?.time_s, name, *id)))
            .collect();
        branches.sort_unstable();
        let newest = branches.into_iter().rev().find(|(_, _, id)| self.admit_history(*id).is_ok());
        newest.map(|(_, name, commit)| Head { branch: Some(name.clone()), commit })
    }

    /// Admits the newest sound version of a branch and its history. Versions before it in the
    /// branch that are not sound are passed over.
    fn admit_newest_sound(&mut self, top: Id) -> Option<Id> {
        let mut id = top;
        let mut bytes_left = MAX_PASSED_BYTES;
        for _ in 0..MAX_PASSED_OVER {
            if self.admit_history(id).is_ok() {
                return Some(id);
            }
            let passed = self.read(id, ObjectType::Commit, bytes_left).ok()?;
            bytes_left -= passed.len() as u64;
            // A version may have been refused for its long message. The parents come before the
            // message, so the beginning of the commit is enough to find the next version.
            let most = usize::try_from(MAX_COMMIT_BYTES).unwrap_or(usize::MAX).min(passed.len());
            id = *object::commit(passed.data().get(..most)?).ok()?.parents.first()?;
        }
        None
    }

    /// Admits a version and those before it. Below a version with a parent that is refused, the
    /// history is cut.
    fn admit_history(&mut self, top: Id) -> Result<(), Unsound> {
        self.admit_commit(top)?;
        let mut queue = BinaryHeap::from([(self.commit(top)?.time_s, top)]);
        let mut seen = HashSet::from([top]);
        while let Some((_, id)) = queue.pop() {
            let parents = self.commit(id)?.parents;
            // Git can record a commit without all of its parents (as "shallow"), but not a commit
            // without some of them. So either all parents are admitted or the history is cut here.
            let is_whole = !self.cut.contains(&id)
                && parents.iter().all(|parent| self.admit_commit(*parent).is_ok());
            if !is_whole {
                self.cut.insert(id);
            }
            for parent in parents {
                if self.admitted.contains(&parent) && seen.insert(parent) {
                    queue.push((self.commit(parent)?.time_s, parent));
                }
            }
        }
        Ok(())
    }

    /// Admits a version with its files, if it is sound and within the limits of the history.
    fn admit_commit(&mut self, id: Id) -> Result<(), Unsound> {
        if self.admitted.contains(&id) {
            return Ok(());
        }
        if let Some(reason) = self.refused.get(&id) {
            return Err(*reason);
        }
        let admitted = self.commit(id).and_then(|commit| {
            self.measure(commit.tree, MAX_DEPTH)?;
            self.admit(&[commit.tree, id])
        });
        if let Err(reason) = admitted {
            self.refused.insert(id, reason);
            self.refused_versions += 1;
            self.reason.get_or_insert(reason);
        }
        admitted
    }

    fn admit_tag(&mut self, id: Id) -> Result<(), Unsound> {
        let target = object::tag(self.read(id, ObjectType::Tag, MAX_COMMIT_BYTES)?.data())?;
        self.admit_history(target)?;
        self.admit(&[id])
    }

    /// Admits objects and everything that they refer to. If that exceeds a limit, admits none.
    fn admit(&mut self, roots: &[Id]) -> Result<(), Unsound> {
        let mut new = Vec::new();
        match self.admit_below(roots, &mut new) {
            Ok(bytes) => self.admitted_bytes += bytes,
            Err(reason) => {
                for id in new {
                    self.admitted.remove(&id);
                }
                return Err(reason);
            }
        }
        Ok(())
    }

    /// Admits objects and everything below them, lists the newly admitted ones in `new`, and
    /// returns their size in bytes.
    fn admit_below(&mut self, roots: &[Id], new: &mut Vec<Id>) -> Result<u64, Unsound> {
        let mut bytes = 0_u64;
        let mut open = roots.to_vec();
        while let Some(id) = open.pop() {
            if !self.admitted.insert(id) {
                continue;
            }
            new.push(id);
            let (length, kind) = self.read_header(id)?;
            bytes = bytes.saturating_add(length);
            if self.admitted.len() > MAX_OBJECTS as usize
                || self.admitted_bytes.saturating_add(bytes) > self.limits.history_bytes
            {
                return Err(Unsound::LargeHistory);
            }
            if kind == ObjectType::Tree {
                let tree = self.read(id, ObjectType::Tree, MAX_TREE_BYTES)?;
                let entries = object::tree(tree.data())?;
                let own = entries.iter().filter(|entry| entry.kind != EntryKind::Submodule);
                open.extend(own.map(|entry| entry.id));
            }
        }
        Ok(bytes)
    }

    /// Measures a tree and every object in it. An object that was measured before is not read
    /// again.
    fn measure(&mut self, id: Id, depth_left: u32) -> Result<(), Unsound> {
        match (self.nodes.get(&id), self.refused.get(&id)) {
            (Some(Node::Tree(_)), _) => return Ok(()),
            (Some(_), _) => return Err(Unsound::Missing),
            (None, Some(reason)) => return Err(*reason),
            (None, None) => {}
        }
        let measured = self.measure_anew(id, depth_left);
        match measured {
            Ok(measure) => drop(self.nodes.insert(id, Node::Tree(measure))),
            // Not remembered, because the same tree may be less deep in another version.
            Err(Unsound::Deep) => {}
            Err(reason) => drop(self.refused.insert(id, reason)),
        }
        measured.map(drop)
    }

    fn measure_anew(&mut self, id: Id, depth_left: u32) -> Result<Measure, Unsound> {
        if depth_left == 0 {
            return Err(Unsound::Deep);
        }
        let tree = self.read(id, ObjectType::Tree, MAX_TREE_BYTES)?;
        let entries = object::tree(tree.data())?;
        for entry in &entries {
            match entry.kind {
                EntryKind::Folder => self.measure(entry.id, depth_left - 1)?,
                EntryKind::File if !self.nodes.contains_key(&entry.id) => {
                    // The whole file is read, because a damaged one must be found before anything
                    // is sent.
                    let file = self.read(entry.id, ObjectType::Blob, self.limits.file_bytes)?;
                    self.nodes.insert(entry.id, Node::Blob(file.len() as u64));
                }
                EntryKind::File | EntryKind::Submodule => {}
            }
        }
        Measure::of(&entries, &self.nodes, self.limits)
    }

    /// Reads and parses a commit, and remembers it.
    pub(super) fn commit(&mut self, id: Id) -> Result<Commit, Unsound> {
        if let Some(commit) = self.commits.get(&id) {
            return Ok(commit.clone());
        }
        let object = self.read(id, ObjectType::Commit, MAX_COMMIT_BYTES)?;
        let commit = object::commit(object.data())?;
        self.commits.insert(id, commit.clone());
        Ok(commit)
    }

    fn read_header(&self, id: Id) -> Result<(u64, ObjectType), Unsound> {
        let header = oid(id).and_then(|id| self.odb.read_header(id));
        header.map(|(length, kind)| (length as u64, kind)).map_err(|_| Unsound::Missing)
    }

    /// Reads an object of the kind `kind` and of at most `most` bytes.
    pub(super) fn read(
        &self,
        id: Id,
        kind: ObjectType,
        most: u64,
    ) -> Result<OdbObject<'o>, Unsound> {
        let (length, found) = self.read_header(id)?;
        if found != kind {
            return Err(Unsound::Missing);
        }
        if length > most {
            return Err(match kind {
                ObjectType::Blob => Unsound::ManyBytes,
                ObjectType::Tree => Unsound::LargeTree,
                _ => Unsound::LongMessage,
            });
        }
        let object = oid(id).and_then(|id| self.odb.read(id)).map_err(|_| Unsound::Missing)?;
        // The header may have announced another kind or length than the object has.
        let is_same = object.kind() == kind && object.len() as u64 == length;
        if is_same { Ok(object) } else { Err(Unsound::Missing) }
    }

    /// All objects that are sent.
    pub(super) fn admitted(&self) -> &HashSet<Id> {
        &self.admitted
    }

    /// Whether the history is cut below this version.
    pub(super) fn is_cut(&self, id: Id) -> bool {
        self.cut.contains(&id)
    }

    /// The versions that are sent, in no particular order.
    pub(super) fn commits(&self) -> impl Iterator<Item = (Id, &Commit)> {
        let admitted = self.commits.iter().filter(|(id, _)| self.admitted.contains(*id));
        admitted.map(|(id, commit)| (*id, commit))
    }

    pub(super) fn commit_of(&self, id: Id) -> Option<&Commit> {
        self.commits.get(&id)
    }

    pub(super) fn limits(&self) -> &Limits {
        self.limits
    }

    pub(super) fn versions(&self) -> usize {
        self.commits().count()
    }

    pub(super) fn refused(&self) -> usize {
        self.refused_versions
    }

    pub(super) fn reason(&self) -> Option<Unsound> {
        self.reason
    }
}

fn oid(id: Id) -> Result<Oid, git2::Error> {
    Oid::from_bytes(&id.0)
}

/// Whether the name of a reference is a folder in the name of another one, or the other way round.
/// Each is stored as a file, so both cannot exist.
fn is_in_the_way(name: &str, chosen: &Chosen) -> bool {
    let head = chosen.head.iter().filter_map(|head| head.branch.as_deref());
    let mut names = chosen.references.iter().map(|(name, _)| name.as_str()).chain(head);
    let is_below = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
    };
    names.any(|other| is_below(name, other) || is_below(other, name))
}
