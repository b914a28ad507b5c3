//! Makes a git tree from the files of a project, and keeps git's index up to date.
//!
//! The index is git's cache of the numbers of each file when it was last hashed, and of the trees
//! that were made from the files. With it, a save reads only files that have changed. Because it is
//! kept up to date, `git status` by hand is fast and shows no changes after a save.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use git2::{ErrorClass, ErrorCode, Index, IndexEntry, ObjectType, Oid, Repository};
use nix::sys::stat::FileStat;

use super::FileLimits;
use super::files::Listing;
use super::remembered::{Recalled, Remembered, STAGE, entry, hash};
use super::{Project, ProjectError, git};
use crate::safe_fs::FileError;
use crate::types::{ProjectPath, STYLE_STATE_FILE};

/// Git's mode of a submodule: a commit of another repository, which need not exist in this one.
const SUBMODULE: u32 = 0o160_000;

/// The files from which a version is made.
pub(super) struct Snapshot {
    index: Index,
    /// The content of each file of the project. The index also has links, submodules and hidden
    /// files of older projects, which stay in it.
    files: HashMap<ProjectPath, Blob>,
    /// Whether the index on the disk knows less than this value.
    is_news: bool,
}

/// The stored content of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blob {
    /// The hash of the content.
    pub(super) id: Oid,
    /// Its size in bytes.
    pub(super) size: u64,
}

impl Snapshot {
    /// Makes a snapshot of the project as it is now. Reads the files that the index does not know.
    pub(super) fn take(project: &Project, repository: &Repository) -> Result<Self, ProjectError> {
        let mut cache = Cache::read(repository)?;
        let odb = repository.odb()?;
        let mut files = HashMap::new();
        let mut is_news = false;
        for Listing { path, stat } in project.walk()? {
            let recalled = cache.files.recall(&path, &stat);
            let id = match recalled {
                Some(recalled) if recalled.is_current => recalled.id,
                recalled => match project.dir().file(path.as_str()) {
                    Ok((file, stat)) => {
                        let id = match recalled {
                            // Hashing the file and looking the object up costs less than storing it
                            // again.
                            Some(Recalled { id, .. }) if hash(&file)? == id && odb.exists(id) => id,
                            _ => store(repository, file, size_of(&stat))?,
                        };
                        cache.index.add(&entry(&path, &stat, id))?;
                        is_news = true;
                        id
                    }
                    Err(FileError::NotFound | FileError::NotRegular) => continue,
                    Err(error) => return Err(error.into()),
                },
            };
            files.insert(path, Blob { id, size: size_of(&stat) });
        }
        for gone in cache.files.rest() {
            is_news = true;
            forget(&mut cache.index, &path_of(&gone), 0)?;
        }
        Ok(Self { index: cache.index, files, is_news })
    }

    /// Fails if the index refers to objects that do not exist, because no tree may be made from
    /// them.
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

    /// The content of one file.
    pub(super) fn get(&self, path: &ProjectPath) -> Option<Blob> {
        self.files.get(path).copied()
    }

    /// Whether there are no files.
    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Sets the content of one file to one that is stored already.
    pub(super) fn set(
        &mut self,
        path: &ProjectPath,
        stat: &FileStat,
        id: Oid,
    ) -> Result<(), git2::Error> {
        self.index.add(&entry(path, stat, id))?;
        self.files.insert(path.clone(), Blob { id, size: size_of(stat) });
        Ok(())
    }

    /// Removes one file.
    pub(super) fn remove(&mut self, path: &ProjectPath) -> Result<(), git2::Error> {
        if self.files.remove(path).is_some() {
            forget(&mut self.index, path.as_str().as_ref(), 0)?;
        }
        Ok(())
    }

    /// Fails if the files exceed the limits of a project.
    pub(super) fn check(&self, limits: FileLimits) -> Result<(), ProjectError> {
        let total: u64 = self.files.values().map(|blob| blob.size).sum();
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
    pub(super) fn write_tree(&mut self, repository: &Repository) -> Result<Oid, ProjectError> {
        git::written(repository, 0, self.index.write_tree_to(repository))
    }

    /// Whether the index should be written although no version is made.
    pub(super) fn is_news(&self) -> bool {
        self.is_news
    }

    /// Replaces git's index. If that fails, the next save takes longer, so it is only logged.
    pub(super) fn write_index_or_warn(&mut self) {
        if let Err(error) = self.write_index() {
            tracing::warn!(%error, "git's index could not be written");
        }
    }

    /// Replaces git's index.
    pub(super) fn write_index(&mut self) -> Result<(), git2::Error> {
        self.index.write()
    }
}

/// Stores content in the repository as it is, without git's conversions.
pub(super) fn store(
    repository: &Repository,
    mut content: File,
    size: u64,
) -> Result<Oid, ProjectError> {
    let odb = repository.odb()?;
    let size = usize::try_from(size).map_err(io::Error::other)?;
    let mut writer = odb.writer(size, ObjectType::Blob)?;
    let copied = io::copy(&mut io::Read::take(&mut content, size as u64), &mut writer);
    let copied = copied.map_err(git::of_writer)?;
    if copied != size as u64 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(writer.finalize()?)
}

/// Removes the index, because it refers to objects that do not exist.
pub(super) fn forget_index(project: &Project) -> Result<(), ProjectError> {
    tracing::warn!("the index of a project is made anew");
    Ok(project.dir().folder(".git")?.remove_file("index")?)
}

/// The index, and what it remembers.
struct Cache {
    index: Index,
    files: Remembered,
}

impl Cache {
    fn read(repository: &Repository) -> Result<Self, ProjectError> {
        let path = repository.path().join("index");
        let written = nix::sys::stat::stat(&path).ok().map(|stat| Remembered::moment(&stat));
        let (mut index, written) = match Index::open(&path) {
            Ok(index) if written.is_some() => (index, written),
            result => {
                // An index that cannot be read is removed. The newest version then says which files
                // are tracked.
                drop(std::fs::remove_file(&path));
                let mut index = match result {
                    Ok(index) => index,
                    Err(_) => Index::open(&path)?,
                };
                if let Some(head) = git::head(repository)? {
                    index.read_tree(&git::tree_of(repository, head)?)?;
                }
                (index, None)
            }
        };
        let mut files = Remembered::new(written);
        let mut unwanted = Vec::new();
        for entry in index.iter() {
            if entry.flags & STAGE != 0 || entry.path == STYLE_STATE_FILE.as_bytes() {
                unwanted.push(entry);
            } else {
                files.add(entry);
            }
        }
        for entry in unwanted {
            let stage = i32::from((entry.flags & STAGE) >> STAGE.trailing_zeros());
            forget(&mut index, &path_of(&entry), stage)?;
        }
        Ok(Self { index, files })
    }
}

/// Removes an entry. It is not an error if another kind of entry has replaced it already.
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

pub(super) fn size_of(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}
