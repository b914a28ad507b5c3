//! Projects on the volume: finding, reading and saving them.

mod changes;
mod copy;
mod details;
mod files;
mod git;
mod history;
mod import;
mod journal;
mod lineage;
mod partial;
mod patience;
mod place;
mod publish;
mod remembered;
mod restore;
mod snapshot;
mod stage;
mod upkeep;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use changes::{
    Action, Base, Changes, Merged, Published, SavedFile, Source, StateChange, StoredContent,
};
pub use copy::CopyRequest;
pub use details::Detail;
pub use files::{Listing, OpenFile};
pub use history::{DIFF_LIMIT_BYTES, Diff, Log, MAX_LOG_LENGTH, Part, Version};
pub use import::{ForeignError, Importer, Receive};
pub use partial::Partial;
pub use patience::Patience;

pub use crate::store::volume::ProjectKey;

use crate::safe_fs::{Dir, FileError};
use crate::store::volume::{Activity, Keyring, Location, Pass, Volume};
use writer::Writer;

/// Limits of the files of one project.
#[derive(Debug, Clone, Copy)]
pub struct FileLimits {
    /// Bytes of one file.
    pub max_file_bytes: u64,
    /// Bytes of all files together.
    pub max_project_bytes: u64,
    /// Number of files.
    pub max_files: usize,
}

/// Why something could not be done with a project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// No such file or project.
    #[error("not found")]
    NotFound,
    /// Something on the volume is in the way: a link or a folder where a file must be, or history
    /// that cannot be read.
    #[error("{0}")]
    Unusable(String),
    /// There is something already where something new was to be made.
    #[error("exists already")]
    Exists,
    /// The beginning of a hash that more than one version has.
    #[error("more than one version begins with that")]
    Ambiguous,
    /// Another save of the same project takes too long.
    #[error("another save of this project is under way")]
    Busy,
    /// A file or the project would become larger than is allowed.
    #[error("{0}")]
    Quota(String),
    /// The history was written by another program and cannot be imported at the moment.
    #[error("the history was written by another program and cannot be imported now: {0}")]
    Foreign(String),
    /// Work on the history takes too long, or nobody waits for it any more.
    #[error("work on the project's history takes too long")]
    Late,
    /// The disk or the volume is full.
    #[error("no space left")]
    Full,
    /// The operating system refused.
    #[error(transparent)]
    Io(io::Error),
    /// git refused.
    #[error("git: {0}")]
    Git(git2::Error),
}

impl From<io::Error> for ProjectError {
    fn from(error: io::Error) -> Self {
        FileError::from(error).into()
    }
}

impl From<FileError> for ProjectError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::NotFound => Self::NotFound,
            FileError::NotRegular => {
                Self::Unusable("a link or a special file is in the way".to_owned())
            }
            FileError::Full => Self::Full,
            FileError::Io(error) => Self::Io(error),
        }
    }
}

/// All projects on the volume.
#[derive(Debug, Clone)]
pub struct Projects {
    volume: Volume,
    shared: Arc<Shared>,
}

/// What all projects have in common.
#[derive(Debug)]
struct Shared {
    limits: FileLimits,
    keyring: Keyring,
    importer: Importer,
}

/// One project, held open by a handle on its folder.
#[derive(Debug)]
pub struct Project {
    dir: Dir,
    /// For libgit2, which takes paths only. The handle was opened along the same names without
    /// following a link, and nobody but workers can change the volume.
    path: PathBuf,
    /// Whose it is. A copy that is being made is already that of its place to be.
    key: ProjectKey,
    shared: Arc<Shared>,
    /// Given back when the project has been closed.
    pass: Pass,
}

impl Projects {
    /// The projects on this volume, with the limits of one of them, and with what reads histories
    /// that another program wrote.
    pub fn new(volume: Volume, limits: FileLimits, importer: Importer) -> Self {
        git::prepare_library();
        let shared = Shared { limits, keyring: Keyring::new(volume.clone()), importer };
        Self { volume, shared: Arc::new(shared) }
    }

    /// Opens a project to read it. What a save left that was killed is mended first. Blocking.
    pub fn open(&self, key: ProjectKey) -> Result<Project, ProjectError> {
        self.open_as(key, self.volume.enter(Activity::Read))
    }

    /// The same, to copy it into the workspace of a run. Blocking.
    pub fn open_to_copy(&self, key: ProjectKey) -> Result<Project, ProjectError> {
        self.open_as(key, self.volume.enter(Activity::Copy))
    }

    fn open_as(&self, key: ProjectKey, pass: Pass) -> Result<Project, ProjectError> {
        let dir = self.volume.open(Location::Project(key))?;
        let project = self.project_at(self.volume.path_of(Location::Project(key)), dir, key, pass);
        if writer::is_marked(&project.dir) {
            // Reading goes on, even where nothing can be written.
            if let Err(error) = project.mend() {
                tracing::warn!(%error, "a project could not be mended");
            }
        }
        Ok(project)
    }

    /// Opens a project and makes its folder first if there is none. Blocking.
    fn open_or_create(&self, key: ProjectKey, pass: Pass) -> Result<Project, ProjectError> {
        let dir = self.volume.make(Location::Project(key))?;
        Ok(self.project_at(self.volume.path_of(Location::Project(key)), dir, key, pass))
    }

    fn project_at(&self, path: PathBuf, dir: Dir, key: ProjectKey, pass: Pass) -> Project {
        Project { dir, path, key, shared: Arc::clone(&self.shared), pass }
    }
}

impl Project {
    /// The folder's handle, for copying out of it.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// For libgit2 only, which takes no handles.
    fn path(&self) -> &Path {
        &self.path
    }

    fn key(&self) -> ProjectKey {
        self.key
    }

    /// For the log.
    fn name(&self) -> String {
        Location::Project(self.key).path()
    }

    fn limits(&self) -> FileLimits {
        self.shared.limits
    }

    fn keyring(&self) -> &Keyring {
        &self.shared.keyring
    }

    fn importer(&self) -> &Importer {
        &self.shared.importer
    }

    /// Finishes or takes away what a killed save left, unless somebody is at it.
    fn mend(&self) -> Result<(), ProjectError> {
        let _saving = self.pass.enter(Activity::Save);
        match Writer::after_a_kill(self)? {
            Some(writer) => journal::finish(self, &writer),
            None => Ok(()),
        }
    }
}
