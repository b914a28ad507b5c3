//! Taking turns: one save of a project at a time, on one machine.
//!
//! A hidden folder in the project is the lock, the place where new content waits, and, when it is
//! found without anybody holding it, the sign that a save was killed. The kernel lets go of the lock
//! when its holder dies. Between containers a lock means nothing; there, every save has names of its
//! own, and nothing of one is in the way of another.

use std::path::PathBuf;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use super::{Project, ProjectError};
use crate::safe_fs::{Dir, Entry, FileError, FolderLock, empty};
use crate::store::volume::SAVE;

/// In the folder while files are moved into place.
const MOVING: &str = "moving";
/// Longest wait for another save of the same project.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);
/// How often is looked whether it is our turn.
const PAUSE: Duration = Duration::from_millis(2);

/// The right to change a project.
pub(super) struct Writer<'p> {
    project: &'p Project,
    folder: Dir,
    lock: Option<FolderLock>,
}

/// The place of one save within the folder.
pub(super) struct Staging {
    /// A name that no other save has had or will have; later ones sort behind earlier ones.
    pub(super) id: String,
    /// New content waits here.
    pub(super) dir: Dir,
}

impl Staging {
    /// Where it is, for libgit2.
    pub(super) fn path(&self, project: &Project) -> PathBuf {
        project.path().join(SAVE).join(&self.id)
    }
}

impl<'p> Writer<'p> {
    /// Waits for its turn.
    pub(super) fn wait(project: &'p Project) -> Result<Self, ProjectError> {
        let began = Instant::now();
        while began.elapsed() < TURN_TIMEOUT {
            match project.dir().make_folder(SAVE) {
                Ok(folder) => match Self::lock(project, folder)? {
                    Some(writer) => return Ok(writer),
                    None => park_timeout(PAUSE),
                },
                // Whoever had it before removed it just now.
                Err(FileError::NotFound) => {}
                // Nobody but workers uses the name.
                Err(FileError::NotRegular) => project.dir().remove_file(SAVE)?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(ProjectError::Busy)
    }

    /// The right to change a project in which a save was killed; `None` if there is nothing to
    /// mend or somebody is at it.
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
        // The last holder may have removed the folder before it let go.
        let same = match project.dir().status(SAVE) {
            Ok(now) => lock.is_of(&now),
            Err(FileError::NotFound) => false,
            Err(error) => return Err(error.into()),
        };
        Ok(same.then(|| Self { project, folder, lock: Some(lock) }))
    }

    /// A place for a new save.
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

    /// Removes whatever saves that were killed left here.
    pub(super) fn clear_all(&self) -> Result<(), ProjectError> {
        Ok(empty(&self.folder)?)
    }

    /// Removes the place of a save.
    pub(super) fn clear(&self, staging: &Staging) -> Result<(), ProjectError> {
        empty(&staging.dir)?;
        self.folder.remove_empty_folder(&staging.id)?;
        Ok(())
    }

    /// Tells readers that files are being moved.
    pub(super) fn begin_moving(&self) -> Result<(), ProjectError> {
        self.folder.make_folder(MOVING)?;
        Ok(())
    }

    /// Tells readers that it is over.
    pub(super) fn end_moving(&self) -> Result<(), ProjectError> {
        self.folder.remove_empty_folder(MOVING)?;
        Ok(())
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // A folder that stays tells the next one to look what is in it.
        if let Err(error) = self.project.dir().remove_empty_folder(SAVE) {
            tracing::warn!(%error, "the folder of a save could not be removed");
        }
        // Only now may somebody else take it.
        drop(self.lock.take());
    }
}

/// Whether there may be something to mend. One look at a name that is hardly ever there.
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

/// Whether files are being moved at this moment.
pub(super) fn is_moving(project: &Dir) -> bool {
    project.folder(SAVE).is_ok_and(|folder| folder.status(MOVING).is_ok())
}
