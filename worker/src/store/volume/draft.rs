//! Drafts: folders that are filled under a hidden name and then renamed into their place, such as
//! the copy of a project or an asset.
//!
//! A reader finds either nothing or the whole folder. A draft that a crash has left is removed by
//! the next request that works in the same folder.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;

use super::layout::DRAFT;
use crate::safe_fs::{Dir, FileError, FolderLock, empty};

/// A draft that is older than this and that no worker of this machine holds was left by a crash,
/// because no request takes that long. A younger one may belong to another container, whose locks
/// have no effect here.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);
/// How many old drafts one request removes at most, so that it does not take long.
const MAX_REMOVED: usize = 8;

/// A folder that is being filled. If it is dropped before it is finished, it is removed.
#[derive(Debug)]
pub(in crate::store) struct Draft {
    parent: Dir,
    name: String,
    dir: Dir,
    /// The lock that shows other workers of this machine that the draft is in use.
    _lock: Option<FolderLock>,
    is_finished: bool,
}

impl Draft {
    /// Begins a draft in the folder that will contain the finished one. Blocks.
    pub(in crate::store) fn begin(parent: &Dir) -> Result<Self, FileError> {
        let name = format!("{DRAFT}{}", uuid::Uuid::new_v4().simple());
        let (parent, dir) = (parent.try_clone()?, parent.make_folder(&name)?);
        let lock = dir.try_lock()?;
        Ok(Self { parent, name, dir, _lock: lock, is_finished: false })
    }

    /// The handle of the draft's folder.
    pub(in crate::store) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The hidden name of the draft.
    pub(in crate::store) fn name(&self) -> &str {
        &self.name
    }

    /// Renames the draft to its final name. If that name exists, removes the draft and returns
    /// false. Blocks.
    pub(in crate::store) fn finish(mut self, name: &str) -> Result<bool, FileError> {
        match self.parent.move_to(self.name.as_ref(), &self.parent, name) {
            Ok(()) => self.is_finished = true,
            Err(Errno::EEXIST | Errno::ENOTEMPTY) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(self.is_finished)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        // The draft is looked up by its name. A rename may have taken effect although it returned
        // an error; then the handle refers to the finished folder, which must not be removed.
        let Ok(dir) = self.parent.folder(&self.name) else {
            return;
        };
        let removed = empty(&dir).map_err(FileError::from);
        if let Err(error) = removed.and_then(|()| self.parent.remove_empty_folder(&self.name)) {
            tracing::warn!(%error, "something unfinished was left behind");
        }
    }
}

/// Removes some drafts in this folder that a crash has left. One that cannot be removed is left to
/// the next request. Blocks.
pub(in crate::store) fn sweep(parent: &Dir) {
    if let Err(error) = try_sweep(parent) {
        tracing::warn!(%error, "what a crash left could not be removed");
    }
}

fn try_sweep(parent: &Dir) -> Result<(), FileError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut removed = 0;
    for entry in parent.entries()? {
        let Some(name) = entry.name_str().filter(|name| name.starts_with(DRAFT)) else {
            continue;
        };
        let Ok(stat) = parent.status(name) else {
            continue;
        };
        let begun = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default());
        if now.saturating_sub(begun) <= ABANDONED_AFTER {
            continue;
        }
        // Another request may have removed it already.
        let Ok(folder) = parent.folder(name) else {
            continue;
        };
        if let Some(_lock) = folder.try_lock()? {
            empty(&folder)?;
            parent.remove_empty_folder(name)?;
            removed += 1;
        }
        if removed == MAX_REMOVED {
            break;
        }
    }
    Ok(())
}
