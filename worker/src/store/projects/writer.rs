//! The turn of a save: on one machine, only one save of a project goes on at a time.
//!
//! A hidden folder in the project is the lock, and contains the staging folders of saves. If the
//! folder exists and no process holds the lock, a save was killed. The kernel releases the lock
//! when its holder dies. Between containers a lock has no effect; there, every save uses names of
//! its own, so saves do not disturb each other.

use std::path::PathBuf;
use std::thread::park_timeout;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Project, ProjectError};
use crate::safe_fs::{Dir, Entry, FileError, FolderLock, empty};
use crate::store::volume::SAVE;

/// The moving marker: a file that is in the folder while a save moves files into place.
const MOVING: &str = "moving";
/// How long a save waits for another save of the same project.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a waiting save checks whether the lock is free.
const PAUSE: Duration = Duration::from_millis(2);
/// How long a save of another container may go on, clocks that differ included.
const LEASE: Duration = Duration::from_mins(10);

/// The turn of a save: the right to change the project.
pub(super) struct Writer<'p> {
    project: &'p Project,
    folder: Dir,
    lock: Option<FolderLock>,
}

/// The staging folder of one save.
pub(super) struct Staging {
    /// A unique name. The names of later saves sort after those of earlier ones.
    pub(super) id: String,
    /// The handle of the folder.
    pub(super) dir: Dir,
}

impl Staging {
    /// Whether the save began so recently that another container may still be making it. The name
    /// has the time.
    pub(super) fn is_young(&self) -> bool {
        let began = uuid::Uuid::try_parse(&self.id).ok().and_then(|id| id.get_timestamp());
        began.is_some_and(|began| is_recent(Duration::from_secs(began.to_unix().0)))
    }

    /// The path of the folder, for libgit2.
    pub(super) fn path(&self, project: &Project) -> PathBuf {
        project.path().join(SAVE).join(&self.id)
    }
}

impl<'p> Writer<'p> {
    /// Waits for the turn and takes it.
    pub(super) fn wait(project: &'p Project) -> Result<Self, ProjectError> {
        let began = Instant::now();
        while began.elapsed() < TURN_TIMEOUT {
            match project.dir().make_folder(SAVE) {
                Ok(folder) => match Self::lock(project, folder)? {
                    Some(writer) => return Ok(writer),
                    None => park_timeout(PAUSE),
                },
                // The last holder has just removed the folder.
                Err(FileError::NotFound) => {}
                // Only workers use this name, so something else under it is removed.
                Err(FileError::NotRegular) => project.dir().remove_file(SAVE)?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(ProjectError::Busy)
    }

    /// Takes the turn of a project in which a save was killed. `None` if there is nothing to
    /// repair, or if another request has the turn.
    pub(super) fn after_a_kill(project: &'p Project) -> Result<Option<Self>, ProjectError> {
        match project.dir().folder(SAVE) {
            Ok(folder) => Self::lock(project, folder),
            Err(FileError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn lock(project: &'p Project, folder: Dir) -> Result<Option<Self>, ProjectError> {
        let Some(lock) = folder.try_lock()? else {
            return Ok(None);
        };
        // The last holder may have removed the folder before it released the lock.
        let same = match project.dir().status(SAVE) {
            Ok(now) => lock.is_of(&now),
            Err(FileError::NotFound) => false,
            Err(error) => return Err(error.into()),
        };
        Ok(same.then(|| Self { project, folder, lock: Some(lock) }))
    }

    /// Makes the staging folder of a new save.
    pub(super) fn stage(&self) -> Result<Staging, ProjectError> {
        let id = uuid::Uuid::now_v7().to_string();
        let dir = self.folder.make_folder(&id)?;
        Ok(Staging { id, dir })
    }

    /// The places of saves that were killed, oldest first; `None` if nothing at all was left here.
    pub(super) fn left_behind(&self) -> Result<Option<Vec<Staging>>, ProjectError> {
        let entries = self.folder.entries()?;
        if entries.is_empty() {
            return Ok(None);
        }
        let open = |id: String| Ok(Staging { dir: self.folder.folder(&id)?, id });
        ids(&entries).into_iter().map(open).collect::<Result<_, _>>().map(Some)
    }

    /// Removes everything that killed saves have left in the folder, except these.
    pub(super) fn clear_except(&self, kept: &[&Staging]) -> Result<(), ProjectError> {
        if kept.is_empty() {
            return Ok(empty(&self.folder)?);
        }
        for staging in self.left_behind()?.unwrap_or_default() {
            if !kept.iter().any(|kept| kept.id == staging.id) {
                self.clear(&staging)?;
            }
        }
        // Nobody moves files here, because this request has the turn.
        self.end_moving()
    }

    /// Removes the staging folder of a save.
    pub(super) fn clear(&self, staging: &Staging) -> Result<(), ProjectError> {
        empty(&staging.dir)?;
        self.folder.remove_empty_folder(&staging.id)?;
        Ok(())
    }

    /// Makes the moving marker, which tells readers that files are being moved.
    pub(super) fn begin_moving(&self) -> Result<(), ProjectError> {
        self.folder.make_folder(MOVING)?;
        Ok(())
    }

    /// Removes the moving marker.
    pub(super) fn end_moving(&self) -> Result<(), ProjectError> {
        self.folder.remove_empty_folder(MOVING)?;
        Ok(())
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // If the folder stays, the next request checks what is in it.
        if let Err(error) = self.project.dir().remove_empty_folder(SAVE) {
            tracing::warn!(%error, "the folder of a save could not be removed");
        }
        // Only now another save may take the turn.
        drop(self.lock.take());
    }
}

/// Whether another container may still be at work on something that it began at this time after
/// 1970.
pub(super) fn is_recent(time: Duration) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // A time in the far future is a mistake of a clock and no reason to wait.
    now.abs_diff(time) < LEASE
}

/// Whether a save may have been killed in this project. This only checks whether the folder exists,
/// which is rare.
pub(super) fn is_marked(project: &Dir) -> bool {
    project.status(SAVE).is_ok()
}

/// The saves that are under way, by their ids.
pub(super) fn under_way(project: &Dir) -> Result<Vec<String>, ProjectError> {
    match project.folder(SAVE) {
        Ok(folder) => Ok(ids(&folder.entries()?)),
        Err(FileError::NotFound | FileError::NotRegular) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Those of the names that are ids of saves, in order.
fn ids(entries: &[Entry]) -> Vec<String> {
    let mut ids: Vec<String> = entries
        .iter()
        .filter_map(Entry::name_str)
        .filter(|name| uuid::Uuid::try_parse(name).is_ok())
        .map(str::to_owned)
        .collect();
    ids.sort_unstable();
    ids
}

/// Whether a save is moving files at this moment.
pub(super) fn is_moving(project: &Dir) -> bool {
    project.folder(SAVE).is_ok_and(|folder| folder.status(MOVING).is_ok())
}
