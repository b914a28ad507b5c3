//! Looking at a project without disturbing it: a file from the system's caches, and what each file
//! is beside its name.
//!
//! Nothing here writes, removes a lock or takes a turn, so it may be done while a save is going on.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use git2::{Index, IndexEntry, ObjectType, Oid};
use nix::sys::stat::FileStat;

use super::files::Listing;
use super::{Project, ProjectError, ProjectKey, Volume, writer};
use crate::safe_fs::{Dir, FileError, is_local, open_cached};
use crate::types::{ProjectPath, RequestPath};

/// The bits of an index entry's flags that mark one side of a conflict.
const STAGE: u16 = 0x3000;

/// A file of a project, described.
#[derive(Debug)]
pub struct Detail {
    /// Where it is in the project.
    pub path: ProjectPath,
    /// Its size in bytes.
    pub size: u64,
    /// When it was changed last.
    pub modified: SystemTime,
    /// The name that git has for this content: 40 hexadecimal digits.
    pub hash: String,
}

impl Volume {
    /// Opens a file for reading if nothing on the way has to be waited for. `None` says nothing of
    /// the file; [`Project::read`] then finds out.
    pub fn open_cached(&self, key: ProjectKey, path: &RequestPath) -> Option<(File, FileStat)> {
        let root = Dir::open_root(&self.path).ok()?;
        if !*self.is_local.get_or_init(|| is_local(&root)) {
            return None;
        }
        let folder = key.folders().join("/");
        // What a killed save left is mended by the other way.
        if writer::is_marked_at(&root, &folder) {
            return None;
        }
        open_cached(&root, &folder, path.as_str())
    }
}

impl Project {
    /// All visible files with their sizes, times and hashes, sorted by path. Content is read only
    /// where git's index does not know it. A file that is gone before it was read is left out.
    /// Blocking.
    pub fn details(&self) -> Result<Vec<Detail>, ProjectError> {
        let files = self.list()?;
        let mut known = Known::read(self);
        let mut details = Vec::with_capacity(files.len());
        for Listing { path, stat } in files {
            let (stat, hash) = match known.hash_of(&path, &stat) {
                Some(hash) => (stat, hash),
                None => match self.dir().file(path.as_str()) {
                    // Size, time and hash of the same file, should it be another one by now.
                    Ok((file, stat)) => (stat, hash(&file)?),
                    Err(FileError::NotFound | FileError::NotRegular) => continue,
                    Err(error) => return Err(error.into()),
                },
            };
            let size = u64::try_from(stat.st_size).unwrap_or_default();
            let hash = hash.to_string();
            details.push(Detail { path, size, modified: modified(&stat), hash });
        }
        Ok(details)
    }
}

/// libgit2 takes paths only; this one means the open file and nothing else.
fn path_of(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn hash(file: &File) -> Result<Oid, git2::Error> {
    Oid::hash_file(ObjectType::Blob, path_of(file))
}

fn modified(stat: &FileStat) -> SystemTime {
    let part = Duration::new(0, u32::try_from(stat.st_mtime_nsec).unwrap_or_default());
    let seconds = Duration::from_secs(stat.st_mtime.unsigned_abs());
    if stat.st_mtime < 0 { UNIX_EPOCH - seconds + part } else { UNIX_EPOCH + seconds + part }
}

/// What git's index remembers, in the order of its paths, which is that of a listing.
struct Known {
    entries: std::iter::Peekable<std::vec::IntoIter<IndexEntry>>,
    /// When the index was written. A file that changed since then, or in the same moment, may
    /// differ although its numbers agree.
    written: (i64, i64),
}

impl Known {
    /// Without an index, or with one that cannot be read, nothing is known.
    fn read(project: &Project) -> Self {
        let read = project.dir().file(".git/index").ok().and_then(|(file, stat)| {
            let index = Index::open(std::path::Path::new(&path_of(&file))).ok()?;
            let entries = index.iter().filter(|entry| entry.flags & STAGE == 0);
            Some((entries.collect::<Vec<_>>(), (stat.st_mtime, stat.st_mtime_nsec)))
        });
        let (mut entries, written) = read.unwrap_or_default();
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Self { entries: entries.into_iter().peekable(), written }
    }

    /// The hash of a file that has not changed since the index was written. To be asked in the
    /// order of paths.
    fn hash_of(&mut self, path: &ProjectPath, stat: &FileStat) -> Option<Oid> {
        let path = path.as_str().as_bytes();
        while self.entries.next_if(|entry| entry.path.as_slice() < path).is_some() {}
        let entry = self.entries.next_if(|entry| entry.path == path)?;
        let before = (stat.st_mtime, stat.st_mtime_nsec) < self.written
            && (stat.st_ctime, stat.st_ctime_nsec) < self.written;
        (before && is_same(&entry, stat)).then_some(entry.id)
    }
}

/// Git keeps the lower 32 bits of every number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as git does")]
fn is_same(entry: &IndexEntry, stat: &FileStat) -> bool {
    let regular = entry.mode == 0o100_644 || entry.mode == 0o100_755;
    regular
        && entry.mtime.seconds() == stat.st_mtime as i32
        && entry.mtime.nanoseconds() == stat.st_mtime_nsec as u32
        && entry.ctime.seconds() == stat.st_ctime as i32
        && entry.ctime.nanoseconds() == stat.st_ctime_nsec as u32
        && entry.ino == stat.st_ino as u32
        && entry.file_size == stat.st_size as u32
}
