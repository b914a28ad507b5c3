//! Strict parsers of commits, trees and tags in the form in which git writes them.
//!
//! An object that these parsers accept is one that libgit2 in the worker reads later without an
//! error, that `git log` shows and that `git fsck` accepts. One that they refuse is not repaired,
//! because that would change its id.

use std::collections::HashSet;

use crate::id::Id;
use crate::limits::{
    MAX_COMMIT_BYTES, MAX_DEPTH, MAX_OBJECTS, MAX_PARENTS, MAX_PATH_BYTES, MAX_TREE_BYTES,
    MAX_VERSION_PATH_BYTES,
};

/// Why an object is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unsound {
    /// A commit that git could not read.
    #[error("a version is malformed")]
    Commit,
    /// A commit or tag over [`MAX_COMMIT_BYTES`].
    #[error("a version or its message is larger than {MAX_COMMIT_BYTES} bytes")]
    LongMessage,
    /// A commit with more than [`MAX_PARENTS`] parents.
    #[error("a version has more than {MAX_PARENTS} parents")]
    ManyParents,
    /// A tree that git could not read, or with a name that no file can have.
    #[error("a folder of a version is malformed")]
    Tree,
    /// A tree over [`MAX_TREE_BYTES`].
    #[error("a folder of a version has more than {MAX_TREE_BYTES} bytes of names")]
    LargeTree,
    /// Folders deeper than [`MAX_DEPTH`].
    #[error("a version has more than {MAX_DEPTH} folders inside one another")]
    Deep,
    /// Paths over [`MAX_PATH_BYTES`], or over [`MAX_VERSION_PATH_BYTES`] together.
    #[error(
        "a version has a path of more than {MAX_PATH_BYTES} bytes, or more than \
         {MAX_VERSION_PATH_BYTES} bytes of paths"
    )]
    LongPaths,
    /// A version has more files than the limits allow.
    #[error("a version has too many files")]
    ManyFiles,
    /// A version has more bytes than the limits allow, or a file that is too large.
    #[error("a version has too many bytes, or a file that is too large")]
    ManyBytes,
    /// A tag that git could not read, or that refers to anything but a commit.
    #[error("a tag is malformed")]
    Tag,
    /// An object refers to one that does not exist, cannot be read, or has another kind.
    #[error("something that a version refers to is missing")]
    Missing,
    /// All versions together have more objects or bytes than the limits allow.
    #[error("the history has more than {MAX_OBJECTS} objects, or too many bytes")]
    LargeHistory,
}

/// The parts of a commit that an import needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The top folder of the version.
    pub tree: Id,
    /// The versions directly before it.
    pub parents: Vec<Id>,
    /// The time of the commit, in seconds since 1970.
    pub time_s: i64,
}

/// The kind of a tree's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file or a symbolic link; git stores both as a blob.
    File,
    /// A folder; git stores it as a tree.
    Folder,
    /// A commit of another repository. Its object need not exist in this one.
    Submodule,
}

/// One entry of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What the name refers to.
    pub kind: EntryKind,
    /// The name, which is not empty and contains neither `/` nor NUL.
    pub name: &'a [u8],
    /// The object that the name refers to.
    pub id: Id,
}

/// Takes one line off the front of `rest`, and returns it without its line feed.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (line, after) = rest.split_at(end);
    *rest = after.get(1..)?;
    Some(line)
}

/// If the next line begins with `name`, takes it off the front of `rest` and returns what follows
/// the name.
fn field<'a>(rest: &mut &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut after = *rest;
    let value = line(&mut after)?.strip_prefix(name)?;
    *rest = after;
    Some(value)
}

/// Parses a commit.
pub fn commit(bytes: &[u8]) -> Result<Commit, Unsound> {
    if bytes.len() as u64 > MAX_COMMIT_BYTES {
        return Err(Unsound::LongMessage);
    }
    let mut rest = bytes;
    let mut parsed = || -> Option<Commit> {
        let tree = Id::from_hex(field(&mut rest, b"tree ")?)?;
        let mut parents = Vec::new();
        while let Some(parent) = field(&mut rest, b"parent ") {
            parents.push(Id::from_hex(parent)?);
        }
        moment(field(&mut rest, b"author ")?)?;
        let time_s = moment(field(&mut rest, b"committer ")?)?;
        Some(Commit { tree, parents, time_s })
    };
    let commit = parsed().ok_or(Unsound::Commit)?;
    if commit.parents.len() > MAX_PARENTS {
        return Err(Unsound::ManyParents);
    }
    Ok(commit)
}

/// The time in `Name <address> seconds zone`. Early versions of git wrote lines without a time.
fn moment(person: &[u8]) -> Option<i64> {
    let opens = person.iter().rposition(|byte| *byte == b'<')?;
    let closes = person.iter().rposition(|byte| *byte == b'>')?;
    let after = person.get(closes + 1..).filter(|_| opens < closes)?;
    if after.is_empty() {
        return Some(0);
    }
    let seconds = after.strip_prefix(b" ")?.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(seconds).ok()?.parse().ok()
}

/// Parses a tree into all of its entries.
pub fn tree(bytes: &[u8]) -> Result<Vec<Entry<'_>>, Unsound> {
    if bytes.len() as u64 > MAX_TREE_BYTES {
        return Err(Unsound::LargeTree);
    }
    let mut rest = bytes;
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut names = HashSet::new();
    while !rest.is_empty() {
        let entry = entry(&mut rest).ok_or(Unsound::Tree)?;
        // libgit2 finds a name by binary search, which needs the order that git writes.
        let in_order = entries.last().is_none_or(|last| sorts_as(last).lt(sorts_as(&entry)));
        if !in_order || !names.insert(entry.name) {
            return Err(Unsound::Tree);
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry<'a>(rest: &mut &'a [u8]) -> Option<Entry<'a>> {
    let end = rest.iter().take(8).position(|byte| *byte == b' ')?;
    let (mode, after) = rest.split_at(end);
    let mode = std::str::from_utf8(mode).ok()?;
    // `from_str_radix` would accept a sign.
    let mode = u32::from_str_radix(mode, 8).ok().filter(|_| !mode.starts_with('+'))?;
    let kind = match mode {
        // The first versions of git wrote 100664.
        0o100_644 | 0o100_755 | 0o100_664 | 0o120_000 => EntryKind::File,
        0o040_000 => EntryKind::Folder,
        0o160_000 => EntryKind::Submodule,
        _ => return None,
    };
    let after = after.get(1..)?;
    let end = after.iter().position(|byte| *byte == 0)?;
    let (name, after) = after.split_at(end);
    let (id, after) = after.get(1..)?.split_first_chunk()?;
    *rest = after;
    is_name(name).then_some(Entry { kind, name, id: Id(*id) })
}

/// Whether an entry may have this name. Hidden names are accepted, except `.git` and the names that
/// lead out of the folder.
fn is_name(name: &[u8]) -> bool {
    let is_reserved = name.is_empty()
        || name == b"."
        || name == b".."
        || name.eq_ignore_ascii_case(b".git")
        || name.eq_ignore_ascii_case(b"git~1");
    !is_reserved && name.len() <= 255 && !name.contains(&b'/')
}

/// The bytes by which git sorts an entry: it sorts a folder as if its name ended in a slash.
fn sorts_as<'a>(entry: &Entry<'a>) -> impl Iterator<Item = u8> + use<'a> {
    let end = (entry.kind == EntryKind::Folder).then_some(b'/');
    entry.name.iter().copied().chain(end)
}

/// Parses an annotated tag and returns the commit that it refers to.
pub fn tag(bytes: &[u8]) -> Result<Id, Unsound> {
    if bytes.len() as u64 > MAX_COMMIT_BYTES {
        return Err(Unsound::LongMessage);
    }
    let mut rest = bytes;
    let mut parsed = || -> Option<Id> {
        let target = Id::from_hex(field(&mut rest, b"object ")?)?;
        let is_commit = field(&mut rest, b"type ")? == b"commit";
        field(&mut rest, b"tag ")?;
        // The first versions of git wrote tags without a tagger.
        if let Some(tagger) = field(&mut rest, b"tagger ") {
            moment(tagger)?;
        }
        is_commit.then_some(target)
    };
    parsed().ok_or(Unsound::Tag)
}

#[cfg(test)]
mod tests;
