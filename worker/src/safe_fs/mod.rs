//! TRUST BOUNDARY 3: from a type to an open file.
//!
//! Files that a client or the sandbox names are reached from a directory handle, component by
//! component, never through a symbolic link, and only regular files with exactly one link are
//! opened. No path is checked first and opened by name later, so there is nothing to win by
//! swapping one for the other in between.

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
    /// There is no such file, or one of its parents is not a folder.
    #[error("no such file")]
    NotFound,
    /// There is something, but it is not a regular file with one link, or a parent is a link.
    #[error("not a regular file")]
    NotRegular,
    /// The disk, the volume or what its owner may have of it is used up.
    #[error("no space left")]
    Full,
    /// The operating system refused.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for FileError {
    /// The one place that knows which errors of the system mean a full disk.
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
            // ELOOP: a symbolic link; ENXIO: a socket, or a fifo without a reader.
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
