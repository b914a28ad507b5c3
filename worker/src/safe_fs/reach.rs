//! How far a call may go to get at a file: to the disk, or only to what the kernel has at hand.
//!
//! Both open a file by the same rules, which stand here once.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};

use super::dir::ATTEMPTS;
use super::{FileError, Kind, beneath};

/// Whether a call may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It may.
    Disk,
    /// It may not: what is not in the kernel's caches is an error of its own kind, `EAGAIN`.
    AtHand,
}

impl Reach {
    /// Opens what lies at a path beneath `root`.
    pub(super) fn open(
        self,
        root: BorrowedFd<'_>,
        path: &OsStr,
        flags: OFlag,
    ) -> nix::Result<OwnedFd> {
        match self {
            Self::Disk => beneath::open(root, path, flags, Mode::empty()),
            Self::AtHand => beneath::open_at_hand(root, path, flags),
        }
    }

    /// Opens a folder at a path beneath `root`.
    pub(super) fn folder(self, root: BorrowedFd<'_>, path: &OsStr) -> nix::Result<OwnedFd> {
        match self {
            Self::Disk => beneath::open_folder(root, path),
            Self::AtHand => beneath::open_at_hand(root, path, beneath::FOLDER),
        }
    }

    /// Status of a name in a folder, of a link itself and not of what it points to.
    pub(super) fn status(self, folder: BorrowedFd<'_>, name: &OsStr) -> nix::Result<FileStat> {
        match self {
            Self::Disk => fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW),
            // There is no status from the caches alone; opening a name so reads nothing.
            Self::AtHand => fstat(beneath::open_at_hand(folder, name, OFlag::O_PATH)?),
        }
    }

    /// Opens a regular file with one link beneath `root`. Returns its status too, taken from the
    /// open file.
    pub(super) fn file(
        self,
        root: BorrowedFd<'_>,
        path: &str,
    ) -> Result<(File, FileStat), FileError> {
        // O_NONBLOCK: a fifo must not make us wait for somebody to write.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        for _ in 0..ATTEMPTS {
            let (above, name) = match path.rsplit_once('/') {
                Some((above, name)) => (Some(self.folder(root, above.as_ref())?), name),
                None => (None, path),
            };
            let folder = above.as_ref().map_or(root, |folder| folder.as_fd());
            let fd = self.open(folder, name.as_ref(), flags)?;
            let stat = fstat(&fd)?;
            // A second link could be the name of somebody else's file.
            if Kind::of(&stat) != Kind::File || stat.st_nlink > 1 {
                return Err(FileError::NotRegular);
            }
            // The one link that is left could be the other one, if ours was removed since the file
            // was opened. So the name must still stand for the same file.
            let named = self.status(folder, name.as_ref())?;
            if (named.st_dev, named.st_ino, named.st_nlink) == (stat.st_dev, stat.st_ino, 1) {
                return Ok((File::from(fd), stat));
            }
            // Replaced or removed, as saves do: what is there now is as good.
        }
        Err(FileError::NotRegular)
    }
}
