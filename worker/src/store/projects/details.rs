//! Looking at a project without disturbing it: what each file is beside its name.
//!
//! Nothing here writes, removes a lock or takes a turn, so it may be done while a save is going on.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use git2::Index;
use nix::sys::stat::FileStat;

use super::files::Listing;
use super::remembered::{Remembered, hash, path_of};
use super::{Project, ProjectError, git};
use crate::safe_fs::FileError;
use crate::types::ProjectPath;

/// A file of a project with its size, time and hash.
#[derive(Debug)]
pub struct Detail {
    /// The path of the file in the project.
    pub path: ProjectPath,
    /// The size in bytes.
    pub size: u64,
    /// The time of the last change.
    pub modified: SystemTime,
    /// The id that git gives to this content: 40 hexadecimal digits.
    pub hash: String,
}

impl Project {
    /// All visible files with their sizes, times and hashes, sorted by path. A file's content is
    /// read only if git's index does not know its hash. A file that is removed before it is read is
    /// left out. Blocks.
    pub fn details(&self) -> Result<Vec<Detail>, ProjectError> {
        let files = self.list()?;
        let mut remembered = remembered(self);
        let mut details = Vec::with_capacity(files.len());
        for Listing { path, stat } in files {
            let recalled = remembered.recall(&path, &stat).filter(|recalled| recalled.is_current);
            let (stat, hash) = match recalled {
                Some(recalled) => (stat, recalled.id),
                None => match self.dir().file(path.as_str()) {
                    // The file may have been replaced since it was listed, so size and time are
                    // taken from the open file too.
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

fn modified(stat: &FileStat) -> SystemTime {
    let part = Duration::new(0, u32::try_from(stat.st_mtime_nsec).unwrap_or_default());
    let seconds = Duration::from_secs(stat.st_mtime.unsigned_abs());
    if stat.st_mtime < 0 { UNIX_EPOCH - seconds + part } else { UNIX_EPOCH + seconds + part }
}

/// The hashes that git's index remembers. Empty if there is no index, or if it cannot be read, or
/// if another program wrote it.
fn remembered(project: &Project) -> Remembered {
    if !git::is_own(project).unwrap_or(false) {
        return Remembered::default();
    }
    let Ok((file, stat)) = project.dir().file(".git/index") else {
        return Remembered::default();
    };
    let Ok(index) = Index::open(Path::new(&path_of(&file))) else {
        return Remembered::default();
    };
    let mut remembered = Remembered::new(Some(Remembered::moment(&stat)));
    index.iter().for_each(|entry| remembered.add(entry));
    remembered
}
