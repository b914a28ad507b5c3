//! Writes files so that a reader, or a worker after a crash, finds either the old content or the
//! new one.

use std::fs::File;
use std::io::{self, Write};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, RenameFlags, fallocate, openat, renameat, renameat2};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown};

use super::{Dir, FileError};

/// The beginning of the names of files that are being written. They are hidden, so they are never
/// listed, saved or served.
pub const TEMPORARY_PREFIX: &str = ".dreamcore-tmp-";

/// Options for writing a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions {
    /// Whether the content must be on disk when the call returns.
    pub sync: bool,
    /// The user and group that will own the file. `None` stands for the worker's own.
    pub owner: Option<(u32, u32)>,
}

impl Dir {
    /// Replaces or creates a file in this folder with the content that `fill` writes. Even if the
    /// name was a link or a special file before, it is a regular file afterwards.
    pub fn replace_file<T>(
        &self,
        name: &str,
        options: WriteOptions,
        fill: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> Result<T, FileError> {
        let temporary = format!("{TEMPORARY_PREFIX}{}", uuid::Uuid::new_v4().simple());
        let result = self.write_new(&temporary, options, fill).and_then(|value| {
            renameat(self, temporary.as_str(), self, name)?;
            if options.sync {
                self.sync()?;
            }
            Ok(value)
        });
        if result.is_err() {
            // The first error is reported. If the temporary file cannot be removed, it stays
            // hidden.
            drop(self.remove_file(&temporary));
        }
        result
    }

    /// Creates a file in this folder with the content that `fill` writes. Fails if the name exists.
    pub fn write_new<T>(
        &self,
        name: &str,
        options: WriteOptions,
        fill: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> Result<T, FileError> {
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP | Mode::S_IROTH;
        let mut file = File::from(openat(self, name, flags, mode)?);
        // The mode must not depend on the process's file mode mask.
        fchmod(&file, mode)?;
        if let Some((uid, gid)) = options.owner {
            fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        let value = fill(&mut file)?;
        file.flush()?;
        if options.sync {
            file.sync_all()?;
        }
        Ok(value)
    }

    /// Reserves space on the disk for a new file in this folder, or fails as a write would. On file
    /// systems that cannot reserve space, this succeeds without reserving.
    pub fn reserve(&self, name: &str, bytes: i64) -> Result<(), FileError> {
        self.write_new(name, WriteOptions::default(), |file| {
            match fallocate(&*file, FallocateFlags::empty(), 0, bytes) {
                Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::ENODEV) => Ok(()),
                result => Ok(result?),
            }
        })
    }

    /// Changes the owner of this folder itself.
    pub fn set_owner(&self, uid: u32, gid: u32) -> Result<(), FileError> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        Ok(fchown(self.open_to_read()?, uid, gid)?)
    }

    /// Sets the mode of this folder itself.
    pub fn set_mode(&self, mode: Mode) -> Result<(), FileError> {
        Ok(fchmod(self.open_to_read()?, mode)?)
    }

    /// Moves a file to another folder, and replaces a file of that name.
    pub fn rename_to(&self, name: &str, to: &Self, new_name: &str) -> Result<(), FileError> {
        Ok(renameat(self, name, to, new_name)?)
    }

    /// Moves an entry from this folder to another, where the new name must not exist.
    pub fn move_to(&self, name: &std::ffi::OsStr, to: &Self, new_name: &str) -> Result<(), Errno> {
        match renameat2(self, name, to, new_name, RenameFlags::RENAME_NOREPLACE) {
            // Not every file system has this flag. No other program uses the new name, so it is
            // free.
            Err(Errno::EINVAL | Errno::ENOSYS) => renameat(self, name, to, new_name),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn replaces_a_link_instead_of_following_it() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("target"), "old").unwrap();
        symlink("target", temp.path().join("name")).unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        let options = WriteOptions { sync: true, owner: None };
        dir.replace_file("name", options, |f| f.write_all(b"new")).unwrap();
        assert_eq!(fs::read(temp.path().join("target")).unwrap(), b"old");
        assert_eq!(fs::read(temp.path().join("name")).unwrap(), b"new");
        let meta = fs::symlink_metadata(temp.path().join("name")).unwrap();
        assert!(meta.is_file());
        assert_eq!(meta.permissions().mode() & 0o7777, 0o644);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_trace() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("name"), "old").unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        let result: Result<(), _> = dir.replace_file("name", WriteOptions::default(), |f| {
            f.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert!(result.is_err());
        assert_eq!(fs::read(temp.path().join("name")).unwrap(), b"old");
        assert_eq!(dir.entries().unwrap().len(), 1);
    }
}
