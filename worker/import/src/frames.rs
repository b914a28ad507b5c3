//! The stream from the confined program to the worker.
//!
//! ```text
//! stream    magic (8 bytes)  number of objects (u32)  frame*  end frame
//! frame     kind (1 byte)  id (20 bytes)  length (u64)  content
//! ```
//!
//! Numbers are big-endian. Objects come in an order in which each refers to earlier ones only, then
//! the references, then HEAD if there is a version, then the end. Nothing in the stream needs to be
//! searched for or kept in memory: the content of a file may be passed on as it comes.

use std::io::{self, Read, Write};

use crate::id::Id;

/// How a stream begins; the last byte is the version of this format.
pub const MAGIC: &[u8; 8] = b"dchist\0\x01";
const HEADER_BYTES: usize = 1 + 20 + 8;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file's content.
    Blob,
    /// A folder.
    Tree,
    /// A version.
    Commit,
    /// A version whose parents are left out: the history is cut below it.
    CutCommit,
    /// An annotated tag.
    Tag,
    /// A reference: the content is its name, the id what it stands for.
    Reference,
    /// The newest version: the content is its branch, or empty where HEAD is on none.
    Head,
    /// Nothing comes after it.
    End,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Blob,
        Self::Tree,
        Self::Commit,
        Self::CutCommit,
        Self::Tag,
        Self::Reference,
        Self::Head,
        Self::End,
    ];

    fn byte(self) -> u8 {
        match self {
            Self::Blob => b'b',
            Self::Tree => b't',
            Self::Commit => b'c',
            Self::CutCommit => b'x',
            Self::Tag => b'g',
            Self::Reference => b'r',
            Self::Head => b'h',
            Self::End => b'e',
        }
    }

    /// The word that git puts before an object of this kind when it hashes it.
    pub fn object_name(self) -> Option<&'static str> {
        match self {
            Self::Blob => Some("blob"),
            Self::Tree => Some("tree"),
            Self::Commit | Self::CutCommit => Some("commit"),
            Self::Tag => Some("tag"),
            Self::Reference | Self::Head | Self::End => None,
        }
    }
}

/// What stands before the content of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the content is.
    pub kind: Kind,
    /// The object that it is, or that it is about.
    pub id: Id,
    /// Bytes of content.
    pub length: u64,
}

/// Writes the beginning of a stream.
pub fn write_start(output: &mut impl Write, objects: u32) -> io::Result<()> {
    output.write_all(MAGIC)?;
    output.write_all(&objects.to_be_bytes())
}

/// Writes one frame.
pub fn write(output: &mut impl Write, kind: Kind, id: Id, content: &[u8]) -> io::Result<()> {
    output.write_all(&[kind.byte()])?;
    output.write_all(&id.0)?;
    output.write_all(&(content.len() as u64).to_be_bytes())?;
    output.write_all(content)
}

/// Reads the beginning of a stream: the number of objects, or `None` if it is none.
pub fn read_start(input: &mut impl Read) -> io::Result<Option<u32>> {
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic)?;
    let mut objects = [0; 4];
    input.read_exact(&mut objects)?;
    Ok((magic == *MAGIC).then_some(u32::from_be_bytes(objects)))
}

/// Reads what stands before a frame's content, or `None` if it is of no kind that there is.
pub fn read_header(input: &mut impl Read) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_BYTES];
    input.read_exact(&mut bytes)?;
    let [byte, rest @ ..] = bytes;
    let kind = Kind::ALL.into_iter().find(|kind| kind.byte() == byte);
    let (Some((id, _)), Some(length)) = (rest.split_first_chunk(), rest.last_chunk()) else {
        return Ok(None);
    };
    Ok(kind.map(|kind| Header { kind, id: Id(*id), length: u64::from_be_bytes(*length) }))
}
