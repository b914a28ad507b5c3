//! From files to a git tree, and back into git's own index.
//!
//! The index is git's cache of what each file looked like when it was last hashed, and of the trees
//! that were made of them. Using it means that a save reads only what changed, and keeping it right
//! means that `git status` by hand is quiet and quick.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use git2::{ErrorClass, ErrorCode, Index, IndexEntry, IndexTime, ObjectType, Oid, Repository};
use nix::sys::stat::FileStat;

use super::files::Listing;
use super::{Project, ProjectError};
use crate::config::FileLimits;
use crate::safe_fs::FileError;
use crate::types::{ProjectPath, STYLE_STATE_FILE};

const REGULAR: u32 = 0o100_644;
const EXECUTABLE: u32 = 0o100_755;
/// Names a commit of another repository, which ours need not have.
const SUBMODULE: u32 = 0o160_000;
/// The bits of an index entry's flags that mark one side of a conflict.
const STAGE: u16 = 0x3000;

/// The files of a version to be.
pub(super) struct Snapshot {
    index: Index,
    /// What the index says of the files of the project; links, submodules and hidden files of a
    /// project from before are in the index too, and stay there.
    files: HashMap<ProjectPath, Known>,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// The hash of its content.
    pub(super) id: Oid,
    /// Its size in bytes.
    pub(super) size: u64,
}

impl Snapshot {
    /// The project as it is now. Reads the files that the index does not know.
    pub(super) fn take(project: &Project, repository: &Repository) -> Result<Self, ProjectError> {
        let mut cache = Cache::read(repository)?;
        let mut files = HashMap::new();
        for Listing { path, stat } in project.walk()? {
            let known = cache.files.remove(path.as_str().as_bytes());
            let current = known.as_ref().filter(|entry| cache.is_current(entry, &path, &stat));
            let id = match current {
                Some(entry) => entry.id,
                None => match project.dir().file(path.as_str()) {
                    Ok((file, stat)) => {
                        let id = store(repository, file, size_of(&stat))?;
                        cache.index.add(&entry(&path, &stat, id))?;
                        id
                    }
                    Err(FileError::NotFound | FileError::NotRegular) => continue,
                    Err(error) => return Err(error.into()),
                },
            };
            files.insert(path, Known { id, size: size_of(&stat) });
        }
        for gone in cache.files.into_values() {
            forget(&mut cache.index, &path_of(&gone), 0)?;
        }
        Ok(Self { index: cache.index, files })
    }

    /// Refuses an index that speaks of objects that are not there: no tree may be made of them.
    pub(super) fn check_objects(&self, repository: &Repository) -> Result<(), git2::Error> {
        let odb = repository.odb()?;
        match self.index.iter().find(|entry| entry.mode != SUBMODULE && !odb.exists(entry.id)) {
            None => Ok(()),
            Some(missing) => {
                let message = format!("the index names an object that is missing: {}", missing.id);
                Err(git2::Error::new(ErrorCode::NotFound, ErrorClass::Index, message))
            }
        }
    }

    /// What is known of one file.
    pub(super) fn get(&self, path: &ProjectPath) -> Option<Known> {
        self.files.get(path).copied()
    }

    /// Whether there is nothing to be a version of.
    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Sets one file to content that is stored already.
    pub(super) fn set(
        &mut self,
        path: &ProjectPath,
        stat: &FileStat,
        id: Oid,
    ) -> Result<(), git2::Error> {
        self.index.add(&entry(path, stat, id))?;
        self.files.insert(path.clone(), Known { id, size: size_of(stat) });
        Ok(())
    }

    /// Takes one file out.
    pub(super) fn remove(&mut self, path: &ProjectPath) -> Result<(), git2::Error> {
        if self.files.remove(path).is_some() {
            forget(&mut self.index, path.as_str().as_ref(), 0)?;
        }
        Ok(())
    }

    /// Refuses what is larger than a project may be.
    pub(super) fn check(&self, limits: FileLimits) -> Result<(), ProjectError> {
        let total: u64 = self.files.values().map(|known| known.size).sum();
        if self.files.len() > limits.max_files {
            return Err(ProjectError::Quota(format!("more than {} files", limits.max_files)));
        }
        if total > limits.max_project_bytes {
            let limit = limits.max_project_bytes;
            return Err(ProjectError::Quota(format!("more than {limit} bytes in all files")));
        }
        Ok(())
    }

    /// Writes the tree of these files to the repository.
    pub(super) fn write_tree(&mut self, repository: &Repository) -> Result<Oid, git2::Error> {
        self.index.write_tree_to(repository)
    }

    /// Replaces git's index. A failure costs `git status` some time and nothing else.
    pub(super) fn write_index(&mut self) -> Result<(), git2::Error> {
        self.index.write()
    }
}

/// Stores content in the repository, without any of git's conversions.
pub(super) fn store(
    repository: &Repository,
    mut content: File,
    size: u64,
) -> Result<Oid, ProjectError> {
    let odb = repository.odb()?;
    let size = usize::try_from(size).map_err(io::Error::other)?;
    let mut writer = odb.writer(size, ObjectType::Blob)?;
    let copied = io::copy(&mut io::Read::take(&mut content, size as u64), &mut writer);
    let copied = copied.map_err(|error| match error.kind() {
        // libgit2's writer hides why it failed; the system still knows.
        io::ErrorKind::Other => io::Error::last_os_error(),
        _ => error,
    })?;
    if copied != size as u64 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(writer.finalize()?)
}

/// Takes the index away: it speaks of objects that are not there.
pub(super) fn forget_index(project: &Project) -> Result<(), ProjectError> {
    tracing::warn!("the index of a project is made anew");
    Ok(project.dir().folder(".git")?.remove_file("index")?)
}

/// What the index remembers.
struct Cache {
    index: Index,
    /// Entries of files that a project can have, by path.
    files: HashMap<Vec<u8>, IndexEntry>,
    /// When the index itself was written; a file changed since then, or in the same moment, may
    /// differ although its numbers agree.
    written: Option<(i64, i64)>,
}

impl Cache {
    fn read(repository: &Repository) -> Result<Self, ProjectError> {
        let path = repository.path().join("index");
        let written = nix::sys::stat::stat(&path).ok().map(|s| (s.st_mtime, s.st_mtime_nsec));
        let (mut index, written) = match Index::open(&path) {
            Ok(index) if written.is_some() => (index, written),
            result => {
                // One that cannot be read cannot be mended. Without an index the newest version
                // says what is tracked.
                drop(std::fs::remove_file(&path));
                let mut index = match result {
                    Ok(index) => index,
                    Err(_) => Index::open(&path)?,
                };
                if let Some(head) = super::git::head(repository)? {
                    index.read_tree(&super::git::tree_of(repository, head)?)?;
                }
                (index, None)
            }
        };
        let mut files = HashMap::new();
        let mut unwanted = Vec::new();
        for entry in index.iter() {
            let regular = entry.mode == REGULAR || entry.mode == EXECUTABLE;
            let ours = std::str::from_utf8(&entry.path)
                .is_ok_and(|path| path.parse::<ProjectPath>().is_ok());
            if entry.flags & STAGE != 0 || entry.path == STYLE_STATE_FILE.as_bytes() {
                unwanted.push(entry);
            } else if regular && ours {
                files.insert(entry.path.clone(), entry);
            }
        }
        for entry in unwanted {
            let stage = i32::from((entry.flags & STAGE) >> STAGE.trailing_zeros());
            forget(&mut index, &path_of(&entry), stage)?;
        }
        Ok(Self { index, files, written })
    }

    /// Whether a file has not changed since the index was written.
    fn is_current(&self, known: &IndexEntry, path: &ProjectPath, stat: &FileStat) -> bool {
        let now = entry(path, stat, known.id);
        known.mtime == now.mtime
            && known.ctime == now.ctime
            && known.ino == now.ino
            && known.file_size == now.file_size
            && known.mode == now.mode
            && self.written.is_some_and(|written| (stat.st_mtime, stat.st_mtime_nsec) < written)
    }
}

/// Takes an entry out. One that gave way to another kind of entry already is no error.
fn forget(index: &mut Index, path: &Path, stage: i32) -> Result<(), git2::Error> {
    match index.remove(path, stage) {
        Err(error) if error.code() == ErrorCode::NotFound => Ok(()),
        result => result,
    }
}

fn path_of(entry: &IndexEntry) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(&entry.path).into()
}

/// Git keeps the lower 32 bits of every number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as git does")]
fn entry(path: &ProjectPath, stat: &FileStat, id: Oid) -> IndexEntry {
    let executable = stat.st_mode & 0o100 != 0;
    IndexEntry {
        ctime: IndexTime::new(stat.st_ctime as i32, stat.st_ctime_nsec as u32),
        mtime: IndexTime::new(stat.st_mtime as i32, stat.st_mtime_nsec as u32),
        dev: stat.st_dev as u32,
        ino: stat.st_ino as u32,
        mode: if executable { EXECUTABLE } else { REGULAR },
        uid: stat.st_uid,
        gid: stat.st_gid,
        file_size: stat.st_size as u32,
        id,
        flags: 0,
        flags_extended: 0,
        path: path.as_str().into(),
    }
}

pub(super) fn size_of(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}
