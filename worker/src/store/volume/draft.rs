//! Something that is made beside the place that it will have: a project's copy, an asset.
//!
//! It is filled under a hidden name and gets its own by one renaming, so whoever looks sees none or
//! a whole one. What a crash leaves is removed later, by whoever works in the same folder next.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;

use super::layout::DRAFT;
use crate::safe_fs::{Dir, FileError, FolderLock, empty};

/// A draft that was begun longer ago than this was left by a crash, if nobody of this machine holds
/// it. Nobody needs that long. Before, it may be the work of another container, whose locks mean
/// nothing here.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);
/// Most drafts that are removed in passing, so that no request pays for many.
const MAX_REMOVED: usize = 8;

/// A folder that is being filled. Dropped before it is finished, it is removed.
#[derive(Debug)]
pub(in crate::store) struct Draft {
    parent: Dir,
    name: String,
    dir: Dir,
    /// Tells the others of this machine that somebody is at it.
    _lock: Option<FolderLock>,
    is_finished: bool,
}

impl Draft {
    /// Begins one in the folder that is to hold it. Blocking.
    pub(in crate::store) fn begin(parent: &Dir) -> Result<Self, FileError> {
        let name = format!("{DRAFT}{}", uuid::Uuid::new_v4().simple());
        let (parent, dir) = (parent.try_clone()?, parent.make_folder(&name)?);
        let lock = dir.try_lock()?;
        Ok(Self { parent, name, dir, _lock: lock, is_finished: false })
    }

    /// The folder.
    pub(in crate::store) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Its hidden name.
    pub(in crate::store) fn name(&self) -> &str {
        &self.name
    }

    /// Gives it the name that it is to have. False if there is something of this name; the draft is
    /// removed then. Blocking.
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
        // Found by its name, and not by the handle: a renaming may have failed and happened, and
        // then the handle is that of the finished thing.
        let Ok(dir) = self.parent.folder(&self.name) else {
            return;
        };
        let removed = empty(&dir).map_err(FileError::from);
        if let Err(error) = removed.and_then(|()| self.parent.remove_empty_folder(&self.name)) {
            tracing::warn!(%error, "something unfinished was left behind");
        }
    }
}

/// Removes drafts in this folder that a crash left, a few at a time. What cannot be removed is left
/// to the next one who works here. Blocking.
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
        // Another request may have been quicker.
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
