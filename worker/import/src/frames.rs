//! The stream from the confined program to the worker.
//!
//! ```text
//! stream    magic (8 bytes)  number of objects (u32)  frame*  end frame
//! frame     kind (1 byte)  id (20 bytes)  length (u64)  content
//! ```
//!
//! Numbers are big-endian. The objects come first, in an order in which each refers only to earlier
//! ones. Then come the references, then HEAD if there is a version, then the end frame. The reader
//! never has to search in the stream, and can pass the content of a file on while it arrives.

use std::io::{self, Read, Write};

use crate::id::Id;

/// The first bytes of a stream. The last of them is the version of this format.
pub const MAGIC: &[u8; 8] = b"dchist\0\x01";
const HEADER_BYTES: usize = 1 + 20 + 8;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The content of a file.
    Blob,
    /// A folder of a version.
    Tree,
    /// A version with all of its parents.
    Commit,
    /// A version whose parents are not sent: the history is cut below it.
    CutCommit,
    /// An annotated tag.
    Tag,
    /// A reference. The content is its name, and the id is the object that it refers to.
    Reference,
    /// The newest version. The content is the branch that HEAD is on, or empty if HEAD is on none.
    Head,
    /// The end of the stream.
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

    /// The word that git puts before an object of this kind when it hashes the object. `None` for
    /// frames that are not objects.
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

/// The part of a frame before its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The kind of the content.
    pub kind: Kind,
    /// The object that the content is, or that it refers to.
    pub id: Id,
    /// The length of the content, in bytes.
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

/// Reads the beginning of a stream and returns the number of objects. `None` if the bytes are not
/// the beginning of a stream.
pub fn read_start(input: &mut impl Read) -> io::Result<Option<u32>> {
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic)?;
    let mut objects = [0; 4];
    input.read_exact(&mut objects)?;
    Ok((magic == *MAGIC).then_some(u32::from_be_bytes(objects)))
}

/// Reads a frame up to its content. `None` if the frame's kind is unknown.
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
