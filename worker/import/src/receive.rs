//! TRUST BOUNDARY 8: from the confined program's stream to objects that the worker keeps.
//!
//! The author of the older repository may have taken over the program that reads it, and then
//! decides every byte of the stream. So the worker hashes, parses and measures each object here,
//! and accepts it only if it refers to objects that were received before. A version that exceeds
//! the limits is an error here, because an honest program would have cut the history below it.
//! Memory is bounded by the number of objects: the content of a file is passed on in pieces and
//! never held whole.

use std::collections::BTreeSet;
use std::io::{self, Read};

use sha1::{Digest as _, Sha1};

use crate::frames::{self, Header, Kind};
use crate::id::Id;
use crate::limits::{Limits, MAX_COMMIT_BYTES, MAX_OBJECTS, MAX_REFERENCES, MAX_TREE_BYTES};
use crate::measure::{Measure, Node, Nodes};
use crate::names::{is_branch, is_reference};
use crate::object::{self, Unsound};

/// The size of the pieces in which a file is passed on, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// What `receive` tells its caller about the objects, one event after the other.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The number of objects that will come. This is the first event.
    Count(u32),
    /// An object of this kind and length begins.
    Begin(Kind, u64),
    /// The next piece of the object's content.
    Content(&'a [u8]),
    /// The object is complete, and its hash is the id that was announced.
    End,
}

/// The newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The full name of the branch that HEAD is on. `None` if it is on none.
    pub branch: Option<String>,
    /// The commit of the newest version.
    pub commit: Id,
}

/// What was received in addition to the objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// The newest version. `None` if the history has none.
    pub head: Option<Head>,
    /// The references with their full names.
    pub references: Vec<(String, Id)>,
    /// The versions whose parents were left out.
    pub cut: Vec<Id>,
    /// The number of all objects.
    pub objects: u32,
    /// The number of versions among them.
    pub versions: u32,
}

/// Why a stream was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError<E> {
    /// The stream could not be read to its end.
    #[error("the stream broke off: {0}")]
    Input(io::Error),
    /// The stream does not have the form that the program writes.
    #[error("the stream is malformed: {0}")]
    Malformed(&'static str),
    /// The stream holds an object that the worker must not keep.
    #[error("the stream holds an object that is refused: {0}")]
    Unsound(#[from] Unsound),
    /// The caller's `output` returned an error.
    #[error("{0}")]
    Output(E),
}

/// Receives a whole history, and passes each object to `output`. If this fails, the caller must
/// discard what `output` has written.
pub fn receive<E>(
    input: &mut impl Read,
    limits: &Limits,
    output: impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<History, ReceiveError<E>> {
    let count = frames::read_start(input).map_err(ReceiveError::Input)?;
    let count = count.ok_or(ReceiveError::Malformed("it has another beginning"))?;
    if count > MAX_OBJECTS {
        return Err(Unsound::LargeHistory.into());
    }
    let mut receiver = Receiver {
        input,
        limits,
        output,
        nodes: Nodes::new(),
        bytes: 0,
        names: BTreeSet::new(),
        history: History { objects: count, ..History::default() },
    };
    receiver.tell(Event::Count(count))?;
    while let Some(header) = receiver.next()? {
        receiver.take(header)?;
    }
    Ok(receiver.history)
}

struct Receiver<'a, R, F> {
    input: &'a mut R,
    limits: &'a Limits,
    output: F,
    nodes: Nodes,
    /// The size of all objects so far, in bytes.
    bytes: u64,
    /// The names of all references so far.
    names: BTreeSet<String>,
    history: History,
}

impl<R: Read, E, F: FnMut(Event<'_>) -> Result<(), E>> Receiver<'_, R, F> {
    fn tell(&mut self, event: Event<'_>) -> Result<(), ReceiveError<E>> {
        (self.output)(event).map_err(ReceiveError::Output)
    }

    /// Reads the next frame's header. `None` at the end frame.
    fn next(&mut self) -> Result<Option<Header>, ReceiveError<E>> {
        let header = frames::read_header(self.input).map_err(ReceiveError::Input)?;
        let header = header.ok_or(ReceiveError::Malformed("it has a frame of another kind"))?;
        if header.kind != Kind::End {
            return Ok(Some(header));
        }
        let count = self.history.objects as usize;
        if header.length != 0 || self.nodes.len() != count {
            return Err(ReceiveError::Malformed("it has another number of objects"));
        }
        Ok(None)
    }

    fn take(&mut self, header: Header) -> Result<(), ReceiveError<E>> {
        match header.kind.object_name() {
            None => self.take_name(header),
            Some(_) if !self.names.is_empty() => {
                Err(ReceiveError::Malformed("it has an object after a reference"))
            }
            Some(name) => {
                if self.nodes.contains_key(&header.id) {
                    return Err(ReceiveError::Malformed("it has an object twice"));
                }
                self.bytes = self.bytes.saturating_add(header.length);
                if self.nodes.len() == self.history.objects as usize
                    || self.bytes > self.limits.history_bytes
                {
                    return Err(Unsound::LargeHistory.into());
                }
                let mut hash = Sha1::new();
                hash.update(format!("{name} {}\0", header.length));
                let node = match header.kind {
                    Kind::Blob => self.take_blob(header.length, &mut hash)?,
                    _ => self.take_small(header, &mut hash)?,
                };
                if hash.finalize().as_slice() != header.id.0 {
                    return Err(ReceiveError::Malformed("it has an object under another's name"));
                }
                self.nodes.insert(header.id, node);
                self.tell(Event::End)
            }
        }
    }

    /// Passes the content of a file on in pieces.
    fn take_blob(&mut self, length: u64, hash: &mut Sha1) -> Result<Node, ReceiveError<E>> {
        if length > self.limits.file_bytes {
            return Err(Unsound::ManyBytes.into());
        }
        self.tell(Event::Begin(Kind::Blob, length))?;
        let mut piece = [0; PIECE_BYTES];
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let Some(piece) = piece.get_mut(..most) else { break };
            self.input.read_exact(piece).map_err(ReceiveError::Input)?;
            hash.update(&piece);
            self.tell(Event::Content(piece))?;
            left -= most as u64;
        }
        Ok(Node::Blob(length))
    }

    /// Reads a whole commit, tree or tag, checks it, and then passes it on.
    fn take_small(&mut self, header: Header, hash: &mut Sha1) -> Result<Node, ReceiveError<E>> {
        let is_tree = header.kind == Kind::Tree;
        let most = if is_tree { MAX_TREE_BYTES } else { MAX_COMMIT_BYTES };
        if header.length > most {
            return Err(if is_tree { Unsound::LargeTree } else { Unsound::LongMessage }.into());
        }
        let content = self.content(header.length)?;
        hash.update(&content);
        let node = self.check(header, &content)?;
        self.tell(Event::Begin(header.kind, header.length))?;
        self.tell(Event::Content(&content))?;
        Ok(node)
    }

    fn content(&mut self, length: u64) -> Result<Vec<u8>, ReceiveError<E>> {
        let mut content = Vec::new();
        // The buffer grows with the bytes that arrive, whatever length the header announces.
        let read = self.input.by_ref().take(length).read_to_end(&mut content);
        let read = read.map_err(ReceiveError::Input)?;
        if read as u64 != length {
            return Err(ReceiveError::Input(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(content)
    }

    /// Checks whether a commit, tree or tag may be kept. Every object that it refers to must have
    /// been received already.
    fn check(&mut self, header: Header, content: &[u8]) -> Result<Node, Unsound> {
        let is_commit = |id: &Id| matches!(self.nodes.get(id), Some(Node::Commit));
        match header.kind {
            Kind::Tree => {
                let entries = object::tree(content)?;
                Measure::of(&entries, &self.nodes, self.limits).map(Node::Tree)
            }
            Kind::Tag => {
                let target = object::tag(content)?;
                is_commit(&target).then_some(Node::Tag).ok_or(Unsound::Missing)
            }
            _ => {
                let commit = object::commit(content)?;
                let is_cut = header.kind == Kind::CutCommit;
                let has_files = matches!(self.nodes.get(&commit.tree), Some(Node::Tree(_)));
                if !has_files || !(is_cut || commit.parents.iter().all(is_commit)) {
                    return Err(Unsound::Missing);
                }
                self.history.versions += 1;
                if is_cut {
                    self.history.cut.push(header.id);
                }
                Ok(Node::Commit)
            }
        }
    }

    fn take_name(&mut self, header: Header) -> Result<(), ReceiveError<E>> {
        const BAD: &str = "it has a reference that is none";
        if header.length > crate::MAX_REFERENCE_BYTES as u64 || self.history.head.is_some() {
            return Err(ReceiveError::Malformed(BAD));
        }
        let name = String::from_utf8(self.content(header.length)?);
        let name = name.map_err(|_| ReceiveError::Malformed(BAD))?;
        let target = self.nodes.get(&header.id);
        let is_commit = target == Some(&Node::Commit);
        if header.kind == Kind::Head {
            let branch = (!name.is_empty()).then_some(name);
            if !is_commit || branch.as_ref().is_some_and(|name| !self.is_free(name, is_branch)) {
                return Err(ReceiveError::Malformed(BAD));
            }
            self.history.head = Some(Head { branch, commit: header.id });
            return Ok(());
        }
        let is_tag = target == Some(&Node::Tag) && name.starts_with("refs/tags/");
        if !(is_commit || is_tag) || !self.is_free(&name, is_reference) {
            return Err(ReceiveError::Malformed(BAD));
        }
        self.names.insert(name.clone());
        self.history.references.push((name, header.id));
        Ok(())
    }

    /// Whether a reference of this name can exist beside the others. Each is stored as a file, so
    /// the name of one must not be a folder in the name of another.
    fn is_free(&self, name: &str, is_valid: fn(&str) -> bool) -> bool {
        let below = format!("{name}/");
        let mut above = name.match_indices('/').filter_map(|(end, _)| name.get(..end));
        is_valid(name)
            && self.names.len() < MAX_REFERENCES
            && !self.names.contains(name)
            && !above.any(|above| self.names.contains(above))
            && !self
                .names
                .range(below.clone()..)
                .next()
                .is_some_and(|next| next.starts_with(&below))
    }
}

#[cfg(test)]
mod tests;
