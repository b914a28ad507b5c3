//! What git's index remembers about a project's files: the numbers that each had when its content
//! was hashed last.
//!
//! Saves and listings both use this module, so a single rule decides when a hash may be used
//! without reading the file again.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd as _;

use git2::{IndexEntry, IndexTime, ObjectType, Oid};
use nix::sys::stat::FileStat;

use crate::types::ProjectPath;

const REGULAR: u32 = 0o100_644;
const EXECUTABLE: u32 = 0o100_755;
/// The bits of an index entry's flags that mark one side of a conflict.
pub(super) const STAGE: u16 = 0x3000;

/// The entries of the index for files that a project can have.
#[derive(Default)]
pub(super) struct Remembered {
    entries: HashMap<Vec<u8>, IndexEntry>,
    /// When the index was written, in seconds and nanoseconds. If that is unknown, no entry is
    /// current.
    written: Option<(i64, i64)>,
}

/// The entry of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recalled {
    /// The hash of the file's content.
    pub(super) id: Oid,
    /// Whether the file certainly still has that content.
    pub(super) is_current: bool,
}

impl Remembered {
    /// Makes an empty value for an index that was written at this time.
    pub(super) fn new(written: Option<(i64, i64)>) -> Self {
        Self { entries: HashMap::new(), written }
    }

    /// The time of change in a file's status, in the form that [`Self::new`] takes.
    pub(super) fn moment(stat: &FileStat) -> (i64, i64) {
        (stat.st_mtime, stat.st_mtime_nsec)
    }

    /// Adds an entry. Links, submodules, sides of a conflict and files that no client can name are
    /// ignored.
    pub(super) fn add(&mut self, entry: IndexEntry) {
        let is_file = entry.mode == REGULAR || entry.mode == EXECUTABLE;
        let is_ours =
            std::str::from_utf8(&entry.path).is_ok_and(|path| path.parse::<ProjectPath>().is_ok());
        if is_file && is_ours && entry.flags & STAGE == 0 {
            self.entries.insert(entry.path.clone(), entry);
        }
    }

    /// The entry of a file that has this status now. It is removed from this value.
    pub(super) fn recall(&mut self, path: &ProjectPath, stat: &FileStat) -> Option<Recalled> {
        let entry = self.entries.remove(path.as_str().as_bytes())?;
        let is_current = self.written.is_some_and(|written| is_current(&entry, stat, written));
        Some(Recalled { id: entry.id, is_current })
    }

    /// The entries that were not recalled.
    pub(super) fn rest(self) -> impl Iterator<Item = IndexEntry> {
        self.entries.into_values()
    }
}

/// Whether a file has not changed since it was hashed. All numbers in the index must be the same,
/// and both of the file's times must be before the time at which the index was written: a file that
/// changed in the same moment may have changed after it was hashed and still have the same numbers.
/// No program can set the second of the two times.
fn is_current(entry: &IndexEntry, stat: &FileStat, written: (i64, i64)) -> bool {
    let now = numbers(stat);
    entry.mtime == now.mtime
        && entry.ctime == now.ctime
        && entry.ino == now.ino
        && entry.file_size == now.file_size
        && entry.mode == now.mode
        && (stat.st_mtime, stat.st_mtime_nsec) < written
        && (stat.st_ctime, stat.st_ctime_nsec) < written
}

/// Makes the entry of a file whose content has this hash.
pub(super) fn entry(path: &ProjectPath, stat: &FileStat, id: Oid) -> IndexEntry {
    IndexEntry { id, path: path.as_str().into(), ..numbers(stat) }
}

/// Makes an entry without a path and a hash. Git stores the lower 32 bits of every number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as git does")]
fn numbers(stat: &FileStat) -> IndexEntry {
    IndexEntry {
        ctime: IndexTime::new(stat.st_ctime as i32, stat.st_ctime_nsec as u32),
        mtime: IndexTime::new(stat.st_mtime as i32, stat.st_mtime_nsec as u32),
        dev: stat.st_dev as u32,
        ino: stat.st_ino as u32,
        mode: if stat.st_mode & 0o100 != 0 { EXECUTABLE } else { REGULAR },
        uid: stat.st_uid,
        gid: stat.st_gid,
        file_size: stat.st_size as u32,
        id: Oid::ZERO_SHA1,
        flags: 0,
        flags_extended: 0,
        path: Vec::new(),
    }
}

/// The hash of an open file's content.
pub(super) fn hash(file: &File) -> Result<Oid, git2::Error> {
    Oid::hash_file(ObjectType::Blob, path_of(file))
}

/// A path that refers to this open file and to no other, for libgit2, which takes only paths.
pub(super) fn path_of(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> FileStat {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("file"), "content").unwrap();
        nix::sys::stat::stat(&temp.path().join("file")).unwrap()
    }

    fn recalled(noted: &FileStat, now: &FileStat, written: (i64, i64)) -> bool {
        let path: ProjectPath = "a.js".parse().unwrap();
        let mut remembered = Remembered::new(Some(written));
        remembered.add(entry(&path, noted, Oid::ZERO_SHA1));
        remembered.recall(&path, now).unwrap().is_current
    }

    #[test]
    fn a_file_is_current_only_if_nothing_of_it_has_changed() {
        let stat = status();
        let later = (stat.st_mtime + 10, 0);
        assert!(recalled(&stat, &stat, later));
        let changes: [fn(&mut FileStat); 7] = [
            |stat| stat.st_size += 1,
            |stat| stat.st_ino += 1,
            |stat| stat.st_mtime -= 1,
            |stat| stat.st_mtime_nsec ^= 1,
            |stat| stat.st_ctime -= 1,
            |stat| stat.st_ctime_nsec ^= 1,
            |stat| stat.st_mode |= 0o100,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut now = stat;
            change(&mut now);
            assert!(!recalled(&stat, &now, later), "{number}");
        }
    }

    #[test]
    fn what_changed_when_the_index_was_written_or_later_is_not_current() {
        let mut stat = status();
        (stat.st_mtime, stat.st_mtime_nsec) = (100, 5);
        (stat.st_ctime, stat.st_ctime_nsec) = (200, 5);
        // The time that a program can set is long before, so the other one decides.
        assert!(recalled(&stat, &stat, (200, 6)));
        assert!(!recalled(&stat, &stat, (200, 5)));
        assert!(!recalled(&stat, &stat, (150, 0)));
        (stat.st_mtime, stat.st_mtime_nsec) = (300, 5);
        assert!(!recalled(&stat, &stat, (300, 5)));
        assert!(recalled(&stat, &stat, (300, 6)));
    }

    #[test]
    fn without_the_time_of_the_index_nothing_is_current() {
        let (path, stat): (ProjectPath, _) = ("a.js".parse().unwrap(), status());
        let mut remembered = Remembered::new(None);
        remembered.add(entry(&path, &stat, Oid::ZERO_SHA1));
        assert!(!remembered.recall(&path, &stat).unwrap().is_current);
        assert_eq!(remembered.recall(&path, &stat), None, "it was forgotten");
    }
}
