//! From files to a git tree, and back into git's own index.
//!
//! The index is git's cache of what each file looked like when it was last hashed. Using it means
//! that a save reads only what changed, and keeping it right means that `git status` by hand is
//! quiet and quick.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use git2::{Index, IndexEntry, IndexTime, ObjectType, Oid, Repository};
use nix::sys::stat::FileStat;

use super::files::Listing;
use super::{Project, ProjectError};
use crate::safe_fs::FileError;
use crate::types::ProjectPath;

const REGULAR: u32 = 0o100_644;
const EXECUTABLE: u32 = 0o100_755;
/// The bits of an index entry's flags that mark one side of a conflict.
const STAGE: u16 = 0x3000;

/// The files of a version to be, by path.
pub(super) struct Snapshot {
    entries: BTreeMap<Vec<u8>, IndexEntry>,
}

impl Snapshot {
    /// The project as it is now. Reads the files that the index does not know.
    pub(super) fn take(project: &Project, repository: &Repository) -> Result<Self, ProjectError> {
        let known = Known::read(repository)?;
        let mut entries = BTreeMap::new();
        for Listing { path, stat } in project.list()? {
            let id = match known.id_of(&path, &stat) {
                Some(id) => id,
                None => match project.dir().file(path.as_str()) {
                    Ok((file, _)) => store(repository, file, size_of(&stat))?,
                    Err(FileError::NotFound | FileError::NotRegular) => continue,
                    Err(error) => return Err(error.into()),
                },
            };
            entries.insert(path.as_str().into(), entry(&path, &stat, id));
        }
        entries.extend(known.others);
        Ok(Self { entries })
    }

    /// Sets one file to content that is stored already.
    pub(super) fn set(&mut self, path: &ProjectPath, stat: &FileStat, id: Oid) {
        self.entries.insert(path.as_str().into(), entry(path, stat, id));
    }

    /// Takes one file out.
    pub(super) fn remove(&mut self, path: &ProjectPath) {
        self.entries.remove(path.as_str().as_bytes());
    }

    /// Writes the tree of these files to the repository.
    pub(super) fn write_tree(&self, repository: &Repository) -> Result<Oid, git2::Error> {
        let mut index = Index::new()?;
        for entry in self.entries.values() {
            index.add(entry)?;
        }
        index.write_tree_to(repository)
    }

    /// Replaces git's index. A failure costs `git status` some time and nothing else.
    pub(super) fn write_index(&self, repository: &Repository) -> Result<(), git2::Error> {
        let path = repository.path().join("index");
        let mut index = match Index::open(&path) {
            Ok(index) => index,
            Err(_) => {
                // A broken index cannot be mended, only made anew.
                drop(std::fs::remove_file(&path));
                Index::open(&path)?
            }
        };
        index.clear()?;
        for entry in self.entries.values() {
            index.add(entry)?;
        }
        index.write()
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

/// What the index remembers.
struct Known {
    files: BTreeMap<Vec<u8>, IndexEntry>,
    /// When the index itself was written; a file changed since then, or in the same moment, may
    /// differ although its numbers agree.
    written: Option<(i64, i64)>,
    /// Links, submodules and hidden files of a project from before: not ours to drop.
    others: BTreeMap<Vec<u8>, IndexEntry>,
}

impl Known {
    fn read(repository: &Repository) -> Result<Self, ProjectError> {
        let path = repository.path().join("index");
        let written = nix::sys::stat::stat(&path).ok().map(|s| (s.st_mtime, s.st_mtime_nsec));
        let mut known = Self { files: BTreeMap::new(), written, others: BTreeMap::new() };
        // Without an index, or with a broken one, the newest version says what is tracked.
        let index = match Index::open(&path) {
            Ok(index) if written.is_some() => index,
            _ => {
                known.written = None;
                let mut index = Index::new()?;
                if let Some(head) = super::git::head(repository)? {
                    index.read_tree(&repository.find_commit(head)?.tree()?)?;
                }
                index
            }
        };
        for entry in index.iter().filter(|entry| entry.flags & STAGE == 0) {
            let regular = entry.mode == REGULAR || entry.mode == EXECUTABLE;
            let ours = std::str::from_utf8(&entry.path)
                .is_ok_and(|path| path.parse::<ProjectPath>().is_ok());
            let hidden_state = entry.path == crate::types::STYLE_STATE_FILE.as_bytes();
            if regular && ours {
                known.files.insert(entry.path.clone(), entry);
            } else if !hidden_state {
                known.others.insert(entry.path.clone(), entry);
            }
        }
        Ok(known)
    }

    /// The hash of a file that has not changed since the index was written.
    fn id_of(&self, path: &ProjectPath, stat: &FileStat) -> Option<Oid> {
        let known = self.files.get(path.as_str().as_bytes())?;
        let now = entry(path, stat, known.id);
        let same = (known.mtime == now.mtime)
            && (known.ctime == now.ctime)
            && known.ino == now.ino
            && known.file_size == now.file_size;
        let before_index = (stat.st_mtime, stat.st_mtime_nsec) < self.written?;
        (same && before_index).then_some(known.id)
    }
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
