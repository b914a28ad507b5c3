//! How large a version would be as files and folders, without writing it out.
//!
//! A tree that names another tree ten times, eleven levels deep, has a few hundred bytes and stands
//! for a hundred billion files. So each tree is measured once, by adding up the measures of the
//! objects that it names.

use std::collections::HashMap;

use crate::id::Id;
use crate::limits::{Limits, MAX_DEPTH, MAX_PATH_BYTES, MAX_VERSION_PATH_BYTES};
use crate::object::{Entry, EntryKind, Unsound};

/// The measures of a tree as it would be written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Measure {
    /// The number of files and folders below it.
    entries: u64,
    /// The size of all files, in bytes.
    bytes: u64,
    /// The depth of folders inside one another, this one included.
    depth: u32,
    /// The length of the longest path below it, in bytes.
    longest: u64,
    /// The size of all paths below it together, in bytes.
    paths: u64,
}

/// An object that was read and found sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    /// A file or link, with its size in bytes.
    Blob(u64),
    /// A folder, with what it would be written out.
    Tree(Measure),
    Commit,
    Tag,
}

/// All objects that were found sound so far.
pub(crate) type Nodes = HashMap<Id, Node>;

impl Measure {
    /// Measures a tree whose entries have all been measured, and refuses one that is too large.
    pub(crate) fn of(
        entries: &[Entry<'_>],
        nodes: &Nodes,
        limits: &Limits,
    ) -> Result<Self, Unsound> {
        let mut whole = Self { depth: 1, ..Self::default() };
        for entry in entries {
            whole.add(entry, nodes)?;
        }
        whole.check(limits)?;
        Ok(whole)
    }

    fn add(&mut self, entry: &Entry<'_>, nodes: &Nodes) -> Result<(), Unsound> {
        let name = entry.name.len() as u64;
        let (inner, bytes) = match (entry.kind, nodes.get(&entry.id)) {
            (EntryKind::Submodule, _) => (Self::default(), 0),
            (EntryKind::File, Some(Node::Blob(bytes))) => (Self::default(), *bytes),
            (EntryKind::Folder, Some(Node::Tree(inner))) => (*inner, inner.bytes),
            _ => return Err(Unsound::Missing),
        };
        let slash = u64::from(inner.entries > 0);
        self.entries = self.entries.saturating_add(inner.entries).saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.depth = self.depth.max(inner.depth.saturating_add(1));
        self.longest = self.longest.max(name.saturating_add(slash).saturating_add(inner.longest));
        // Every path below the entry begins with its name and a slash; the entry itself is a path
        // too.
        let inner_paths = inner.entries.saturating_mul(name.saturating_add(1));
        let inner_paths = inner_paths.saturating_add(inner.paths);
        self.paths = self.paths.saturating_add(name).saturating_add(inner_paths);
        Ok(())
    }

    fn check(&self, limits: &Limits) -> Result<(), Unsound> {
        if self.entries > limits.version_entries {
            Err(Unsound::ManyFiles)
        } else if self.bytes > limits.version_bytes {
            Err(Unsound::ManyBytes)
        } else if self.depth > MAX_DEPTH {
            Err(Unsound::Deep)
        } else if self.longest > MAX_PATH_BYTES || self.paths > MAX_VERSION_PATH_BYTES {
            Err(Unsound::LongPaths)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        file_bytes: 1000,
        version_entries: 1000,
        version_bytes: 100_000,
        history_bytes: u64::MAX,
    };

    fn id(number: usize) -> Id {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&number.to_be_bytes());
        Id(id)
    }

    fn folder(number: usize) -> Entry<'static> {
        Entry { kind: EntryKind::Folder, name: b"abcdefgh", id: id(number) }
    }

    #[test]
    fn a_tree_that_stands_for_billions_of_files_is_measured_and_refused() {
        let mut nodes = Nodes::from([(id(0), Node::Tree(Measure::default()))]);
        let mut refused = None;
        for level in 1..=11 {
            match Measure::of(&[folder(level - 1); 10], &nodes, &LIMITS) {
                Ok(measure) => drop(nodes.insert(id(level), Node::Tree(measure))),
                Err(reason) => {
                    refused = Some((level, reason));
                    break;
                }
            }
        }
        assert_eq!(refused, Some((3, Unsound::ManyFiles)));
    }

    #[test]
    fn a_chain_of_folders_is_refused_for_its_depth() {
        let mut nodes =
            Nodes::from([(id(0), Node::Tree(Measure { depth: 1, ..Measure::default() }))]);
        let mut level = 0;
        let reason = loop {
            level += 1;
            match Measure::of(&[folder(level - 1)], &nodes, &LIMITS) {
                Ok(measure) => drop(nodes.insert(id(level), Node::Tree(measure))),
                Err(reason) => break reason,
            }
        };
        assert_eq!((level, reason), (usize::try_from(MAX_DEPTH).unwrap(), Unsound::Deep));
    }

    #[test]
    fn what_is_missing_or_of_another_kind_is_refused() {
        let nodes = Nodes::from([(id(1), Node::Blob(1)), (id(2), Node::Commit)]);
        for (kind, number) in [
            (EntryKind::Folder, 1),
            (EntryKind::File, 2),
            (EntryKind::File, 3),
            (EntryKind::Folder, 3),
        ] {
            let entry = Entry { kind, name: b"a", id: id(number) };
            assert_eq!(Measure::of(&[entry], &nodes, &LIMITS), Err(Unsound::Missing));
        }
        let module = Entry { kind: EntryKind::Submodule, name: b"a", id: id(9) };
        assert_eq!(Measure::of(&[module], &nodes, &LIMITS).map(|whole| whole.entries), Ok(1));
    }

    /// Writes a random tree out: returns its paths and the measures of each folder's entries.
    fn written_out(
        shape: &[Vec<usize>],
        number: usize,
        prefix: &str,
        nodes: &mut Nodes,
        paths: &mut Vec<String>,
    ) -> Measure {
        let mut entries = Vec::new();
        for (place, child) in shape[number].iter().enumerate() {
            let name: &'static str = ["a", "bb", "ccc"][place];
            let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            paths.push(path.clone());
            let is_folder = *child > number && *child < shape.len();
            let kind = if is_folder { EntryKind::Folder } else { EntryKind::File };
            let key = if is_folder { id(*child) } else { id(1000) };
            let node = if is_folder {
                Node::Tree(written_out(shape, *child, &path, nodes, paths))
            } else {
                Node::Blob(7)
            };
            nodes.insert(key, node);
            entries.push(Entry { kind, name: name.as_bytes(), id: key });
        }
        Measure::of(&entries, nodes, &LIMITS).unwrap()
    }

    proptest! {
        #[test]
        fn measures_are_what_one_gets_by_writing_the_tree_out(
            shape in proptest::collection::vec(proptest::collection::vec(0..6_usize, 0..3), 1..5),
        ) {
            let mut paths = Vec::new();
            let measure = written_out(&shape, 0, "", &mut Nodes::new(), &mut paths);
            prop_assert_eq!(measure.entries, paths.len() as u64);
            prop_assert_eq!(measure.paths, paths.iter().map(|path| path.len() as u64).sum::<u64>());
            let longest = paths.iter().map(String::len).max().unwrap_or_default();
            prop_assert_eq!(measure.longest, longest as u64);
        }
    }
}
