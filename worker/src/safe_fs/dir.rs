//! A handle on a folder, and what can be done from it.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{FileError, beneath};

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// How often a file is looked for anew because it was replaced in between.
pub(super) const ATTEMPTS: usize = 8;

/// Mode of folders that are made: everybody may read, as git and the relay's tools expect.
const FOLDER_MODE: Mode = Mode::S_IRWXU
    .union(Mode::S_IRGRP)
    .union(Mode::S_IXGRP)
    .union(Mode::S_IROTH)
    .union(Mode::S_IXOTH);

/// What a name in a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A fifo, socket or device.
    Special,
}

impl Kind {
    /// The kind that `stat` names.
    pub fn of(stat: &FileStat) -> Self {
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Self::File,
            SFlag::S_IFDIR => Self::Folder,
            SFlag::S_IFLNK => Self::Symlink,
            _ => Self::Special,
        }
    }
}

/// A name in a folder; any bytes but `/` and NUL.
#[derive(Debug, Clone)]
pub struct Entry {
    name: CString,
}

impl Entry {
    /// The name.
    pub fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.name.as_bytes())
    }

    /// The name, if it is UTF-8.
    pub fn name_str(&self) -> Option<&str> {
        self.name.to_str().ok()
    }
}

/// A folder that is held open; moving or replacing it by name changes nothing about this handle.
#[derive(Debug)]
pub struct Dir(OwnedFd);

impl Dir {
    /// Opens a folder that the operator configured. The only place where a path is trusted.
    pub fn open_root(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    /// A second handle on the same folder.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// A handle of its own on the same folder: locks of one are not locks of the other.
    pub fn reopen(&self) -> io::Result<Self> {
        Ok(Self(openat(&self.0, ".", FOLDER, Mode::empty())?))
    }

    /// Opens a folder in this one.
    pub fn folder(&self, name: impl AsRef<OsStr>) -> Result<Self, FileError> {
        match beneath::open_folder(self.as_fd(), name.as_ref()) {
            Ok(folder) => Ok(Self(folder)),
            // O_NOFOLLOW with O_DIRECTORY says ENOTDIR for a link.
            Err(Errno::ENOTDIR | Errno::ELOOP) => Err(FileError::NotRegular),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes a folder in this one if it is not there, and opens it.
    pub fn make_folder(&self, name: impl AsRef<OsStr>) -> Result<Self, FileError> {
        match mkdirat(&self.0, name.as_ref(), FOLDER_MODE) {
            Ok(()) | Err(Errno::EEXIST) => self.folder(name),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens a regular file with one link beneath this folder. Returns its status too, taken from
    /// the open file.
    pub fn file(&self, path: &str) -> Result<(File, FileStat), FileError> {
        // O_NONBLOCK: a fifo must not make us wait for somebody to write.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        for _ in 0..ATTEMPTS {
            let fd = beneath::open(self.as_fd(), path, flags, Mode::empty())?;
            let stat = fstat(&fd)?;
            // A second link could be the name of somebody else's file.
            if Kind::of(&stat) != Kind::File || stat.st_nlink > 1 {
                return Err(FileError::NotRegular);
            }
            // The one link that is left could be the other one, if ours was removed since the file
            // was opened. So the name must still stand for the same file.
            let named = beneath::open(self.as_fd(), path, OFlag::O_PATH, Mode::empty())?;
            let named = fstat(&named)?;
            if (named.st_dev, named.st_ino, named.st_nlink) == (stat.st_dev, stat.st_ino, 1) {
                return Ok((File::from(fd), stat));
            }
            // Replaced or removed, as saves do: what is there now is as good.
        }
        Err(FileError::NotRegular)
    }

    /// The folder that holds the last part of `path`, made on the way if `make` says so.
    pub fn parent_of(&self, path: &str, make: bool) -> Result<(Self, String), FileError> {
        let mut here = Self(self.0.try_clone()?);
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return Ok((here, part.to_owned()));
            }
            here = if make { here.make_folder(part)? } else { here.folder(part)? };
        }
        Err(FileError::NotFound)
    }

    /// All names in this folder but `.` and `..`, in no order.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        // Opened anew, because reading moves the position of the handle.
        let mut entries = Vec::new();
        for entry in nix::dir::Dir::from_fd(self.reopen()?.0)? {
            let name = entry?.file_name().to_owned();
            if name.as_bytes() != b"." && name.as_bytes() != b".." {
                entries.push(Entry { name });
            }
        }
        Ok(entries)
    }

    /// Status of a name in this folder, of a link itself and not of what it points to.
    pub fn status(&self, name: impl AsRef<OsStr>) -> Result<FileStat, FileError> {
        Ok(fstatat(&self.0, name.as_ref(), AtFlags::AT_SYMLINK_NOFOLLOW)?)
    }

    /// Removes a file, link or special file. One that is not there is no error.
    pub fn remove_file(&self, name: impl AsRef<OsStr>) -> Result<(), FileError> {
        match unlinkat(&self.0, name.as_ref(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes a file that lies at a path beneath this folder. One that is not there is no error,
    /// also where the file system cannot be written.
    pub fn remove_beneath(&self, path: &str) -> Result<(), FileError> {
        let removed = self.parent_of(path, false).and_then(|(folder, name)| {
            // Asked first: to remove anything from a read-only file system is an error, even what
            // is not there.
            folder.status(&name)?;
            folder.remove_file(&name)
        });
        match removed {
            Err(FileError::NotFound) => Ok(()),
            result => result,
        }
    }

    /// Removes an empty folder. One that is not empty or not there is no error; whether it was
    /// removed.
    pub fn remove_empty_folder(&self, name: impl AsRef<OsStr>) -> Result<bool, FileError> {
        match unlinkat(&self.0, name.as_ref(), UnlinkatFlags::RemoveDir) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT | Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Asks the disk to keep what was done to the names in this folder.
    pub fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::fsync(&self.0)?)
    }

    /// Asks the disk to keep everything that was written to the file system of this folder. One
    /// call for many files costs less than one call for each.
    pub fn sync_file_system(&self) -> io::Result<()> {
        Ok(nix::unistd::syncfs(&self.0)?)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Dir {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<Dir> for File {
    fn from(dir: Dir) -> Self {
        Self::from(dir.0)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_to_a_folder_is_no_folder_and_nothing_is_made_behind_it() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("outside/inner")).unwrap();
        fs::create_dir_all(temp.path().join("root/real")).unwrap();
        symlink("../outside", temp.path().join("root/link")).unwrap();
        symlink("link", temp.path().join("root/link_to_link")).unwrap();
        symlink(temp.path().join("outside"), temp.path().join("root/absolute")).unwrap();
        let root = Dir::open_root(&temp.path().join("root")).unwrap();
        for link in ["link", "link_to_link", "absolute"] {
            assert!(matches!(root.folder(link), Err(FileError::NotRegular)), "{link}");
            assert!(matches!(root.make_folder(link), Err(FileError::NotRegular)), "{link}");
        }
        assert_eq!(root.folder("real").unwrap().entries().unwrap().len(), 0);
        assert!(matches!(root.folder("none"), Err(FileError::NotFound)));
    }
}
