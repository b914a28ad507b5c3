//! A handle on a folder, and the operations that start from it.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use rustix::fs::RawDir;

use super::reach::Reach;
use super::{FileError, beneath};

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Room for names that one call to the kernel reads. A name takes at most 280 bytes of it.
const NAMES_BYTES: usize = 32 * 1024;

/// How often a file is looked for anew because it was replaced in between.
pub(super) const ATTEMPTS: usize = 8;

/// The mode of new folders. Everybody may read them, as git and the relay's tools expect.
const FOLDER_MODE: Mode = Mode::S_IRWXU
    .union(Mode::S_IRGRP)
    .union(Mode::S_IXGRP)
    .union(Mode::S_IROTH)
    .union(Mode::S_IXOTH);

/// The kind of an entry in a folder.
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
    /// The kind according to the status.
    pub fn of(stat: &FileStat) -> Self {
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Self::File,
            SFlag::S_IFDIR => Self::Folder,
            SFlag::S_IFLNK => Self::Symlink,
            _ => Self::Special,
        }
    }
}

/// A name in a folder. It may contain any bytes but `/` and NUL.
#[derive(Debug, Clone)]
pub struct Entry {
    name: CString,
}

impl Entry {
    /// The name as bytes.
    pub fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.name.as_bytes())
    }

    /// The name as text. `None` if it is not UTF-8.
    pub fn name_str(&self) -> Option<&str> {
        self.name.to_str().ok()
    }
}

/// A folder that is held open; moving or replacing it by name changes nothing about this handle.
///
/// The handle says which folder it is (`O_PATH`). What reads, locks or syncs the folder itself opens
/// it once more; most callers only go on from it, and save that.
#[derive(Debug)]
pub struct Dir(OwnedFd);

/// The folder in which a name lies: the one that was asked, or one below it.
#[derive(Debug)]
pub enum Parent<'d> {
    /// The folder that was asked.
    Same(&'d Dir),
    /// One below it.
    Below(Dir),
}

impl Deref for Parent<'_> {
    type Target = Dir;

    fn deref(&self) -> &Dir {
        match self {
            Self::Same(dir) => dir,
            Self::Below(dir) => dir,
        }
    }
}

impl Dir {
    /// Opens a folder that the operator configured. This is the only function that trusts a path.
    pub fn open_root(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    /// A second handle on the same folder.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Opens the same folder for reading, with locks and a position of its own.
    pub(super) fn open_to_read(&self) -> io::Result<File> {
        Ok(File::from(openat(&self.0, ".", FOLDER, Mode::empty())?))
    }

    /// Opens a folder at a path beneath this one.
    pub fn folder(&self, path: impl AsRef<OsStr>) -> Result<Self, FileError> {
        match beneath::open_folder(self.as_fd(), path.as_ref()) {
            Ok(folder) => Ok(Self(folder)),
            Err(Errno::ENOTDIR | Errno::ELOOP) => Err(FileError::NotRegular),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes a folder in this one if it does not exist, and opens it.
    pub fn make_folder(&self, name: impl AsRef<OsStr>) -> Result<Self, FileError> {
        match mkdirat(&self.0, name.as_ref(), FOLDER_MODE) {
            Ok(()) | Err(Errno::EEXIST) => self.folder(name),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens a folder at a path beneath this one, and makes it and those on the way to it where they
    /// are missing.
    pub fn make_folders(&self, path: &str) -> Result<Self, FileError> {
        match self.folder(path) {
            Err(FileError::NotFound) => {}
            result => return result,
        }
        let mut made: Option<Self> = None;
        for part in path.split('/') {
            made = Some(made.as_ref().unwrap_or(self).make_folder(part)?);
        }
        made.ok_or(FileError::NotFound)
    }

    /// Opens a regular file with one link beneath this folder. Returns its status too, taken from
    /// the open file.
    pub fn file(&self, path: &str) -> Result<(File, FileStat), FileError> {
        Reach::Disk.file(self.as_fd(), path)
    }

    /// The folder that holds the last part of `path`, made on the way if `make` says so, and that
    /// part.
    pub fn parent_of<'p>(
        &self,
        path: &'p str,
        make: bool,
    ) -> Result<(Parent<'_>, &'p str), FileError> {
        let Some((above, name)) = path.rsplit_once('/') else {
            return Ok((Parent::Same(self), path));
        };
        let folder = if make { self.make_folders(above)? } else { self.folder(above)? };
        Ok((Parent::Below(folder), name))
    }

    /// All names in this folder but `.` and `..`, in no order. A folder that was removed since it was
    /// opened has none.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        match self.read_names(&mut entries) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(entries),
            result => result.map(|()| entries),
        }
    }

    fn read_names(&self, entries: &mut Vec<Entry>) -> io::Result<()> {
        let mut names = Vec::with_capacity(NAMES_BYTES);
        let mut listing = RawDir::new(self.open_to_read()?, names.spare_capacity_mut());
        while let Some(entry) = listing.next() {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                entries.push(Entry { name: entry.file_name().to_owned() });
            }
        }
        Ok(())
    }

    /// Status of what lies at a path beneath this folder, of a link itself and not of what it points
    /// to. No link on the way is followed.
    pub fn status_beneath(&self, path: &str) -> Result<FileStat, FileError> {
        let (folder, name) = self.parent_of(path, false)?;
        folder.status(name)
    }

    /// The status of an entry. For a link, it is that of the link itself.
    pub fn status(&self, name: impl AsRef<OsStr>) -> Result<FileStat, FileError> {
        Ok(fstatat(&self.0, name.as_ref(), AtFlags::AT_SYMLINK_NOFOLLOW)?)
    }

    /// Removes a file, link or special file. It is not an error if it does not exist.
    pub fn remove_file(&self, name: impl AsRef<OsStr>) -> Result<(), FileError> {
        match unlinkat(&self.0, name.as_ref(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes a file at a path beneath this folder. It is not an error if it does not exist, even
    /// on a read-only file system.
    pub fn remove_beneath(&self, path: &str) -> Result<(), FileError> {
        let removed = self.parent_of(path, false).and_then(|(folder, name)| {
            // Asked first: to remove anything from a read-only file system is an error, even what
            // is not there.
            folder.status(name)?;
            folder.remove_file(name)
        });
        match removed {
            Err(FileError::NotFound) => Ok(()),
            result => result,
        }
    }

    /// Removes an empty folder, and returns whether it was removed. It is not an error if it is not
    /// empty or does not exist.
    pub fn remove_empty_folder(&self, name: impl AsRef<OsStr>) -> Result<bool, FileError> {
        match unlinkat(&self.0, name.as_ref(), UnlinkatFlags::RemoveDir) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT | Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Syncs this folder: its entries are on the disk afterwards.
    pub fn sync(&self) -> io::Result<()> {
        self.open_to_read()?.sync_all()
    }

    /// Syncs the whole file system of this folder. For many files, one such call costs less than
    /// one call per file.
    pub fn sync_file_system(&self) -> io::Result<()> {
        Ok(nix::unistd::syncfs(self.open_to_read()?)?)
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

    #[test]
    fn a_removed_folder_has_no_names() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        let folder = root.make_folder("folder").unwrap();
        fs::write(temp.path().join("folder/file"), "x").unwrap();
        assert_eq!(folder.entries().unwrap().len(), 1);
        fs::remove_dir_all(temp.path().join("folder")).unwrap();
        assert_eq!(folder.entries().unwrap().len(), 0);
    }

    #[test]
    fn a_handle_does_what_only_a_folder_open_for_reading_can() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        let folder = root.make_folders("a/b/c").unwrap();
        folder.sync().unwrap();
        folder.sync_file_system().unwrap();
        folder.set_mode(Mode::S_IRWXU).unwrap();
        assert_eq!(root.status_beneath("a/b/c").unwrap().st_mode & 0o777, 0o700);
        folder.set_owner(nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()).unwrap();
        assert!(folder.space().unwrap().total > 0);
        assert!(folder.try_lock().unwrap().is_some());
    }
}
