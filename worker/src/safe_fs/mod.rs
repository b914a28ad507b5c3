//! TRUST BOUNDARY 3: from a type to an open file.
//!
//! Files that a client or the sandbox names are opened from a directory handle, component by
//! component, never through a symbolic link, and only if they are regular files with exactly one
//! link. No path is checked first and opened by name later, so an attacker gains nothing by
//! exchanging files in between.

mod at_hand;
mod beneath;
mod dir;
#[cfg(test)]
mod hostile;
mod lock;
mod reach;
mod remove;
mod usage;
mod walk;
mod write;

pub use at_hand::{AtHand, read_at_hand};
pub use dir::{Dir, Entry, Kind, Parent};
pub use lock::FolderLock;
pub use remove::{empty, empty_but};
pub use usage::{DiskUse, Space};
pub use walk::{FoundFile, Oddity, walk};
pub use write::{TEMPORARY_PREFIX, WriteOptions};

use std::io;

/// Why a file was not opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file does not exist, or one of its parents is not a folder.
    #[error("no such file")]
    NotFound,
    /// The name exists but is not a regular file with one link, or a parent is a link.
    #[error("not a regular file")]
    NotRegular,
    /// The disk, the volume or the owner's quota is full.
    #[error("no space left")]
    Full,
    /// Any other error of the operating system.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for FileError {
    /// Converts an error. This is the only function that knows which errors mean a full disk.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}

impl From<nix::errno::Errno> for FileError {
    fn from(errno: nix::errno::Errno) -> Self {
        use nix::errno::Errno;
        match errno {
            Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => Self::NotFound,
            // ELOOP means a symbolic link; ENXIO a socket, or a fifo without a reader.
            Errno::ELOOP | Errno::EXDEV | Errno::ENXIO | Errno::EISDIR => Self::NotRegular,
            other => io::Error::from(other).into(),
        }
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io(error) => error,
            FileError::Full => io::ErrorKind::StorageFull.into(),
            FileError::NotFound | FileError::NotRegular => Self::other(error),
        }
    }
}
