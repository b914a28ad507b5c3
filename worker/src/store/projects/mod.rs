//! Projects on the volume: opening, reading and saving them.

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

/// The limits of the files of one project.
#[derive(Debug, Clone, Copy)]
pub struct FileLimits {
    /// The largest size of one file, in bytes.
    pub max_file_bytes: u64,
    /// The largest size of all files together, in bytes.
    pub max_project_bytes: u64,
    /// The largest number of files.
    pub max_files: usize,
}

/// Why an operation on a project failed.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The file, project or version does not exist.
    #[error("not found")]
    NotFound,
    /// Something on the volume is in the way: a link or a folder in the place of a file, or a
    /// history that cannot be read.
    #[error("{0}")]
    Unusable(String),
    /// The project that was to be made exists already.
    #[error("exists already")]
    Exists,
    /// More than one version has a hash that begins like this.
    #[error("more than one version begins with that")]
    Ambiguous,
    /// Another save of the same project takes too long.
    #[error("another save of this project is under way")]
    Busy,
    /// A file or the project would exceed its limits.
    #[error("{0}")]
    Quota(String),
    /// The history was written by another program and cannot be imported at the moment.
    #[error("the history was written by another program and cannot be imported now: {0}")]
    Foreign(String),
    /// Work on the history takes too long, or the client does not wait for it any more.
    #[error("work on the project's history takes too long")]
    Late,
    /// The disk or the volume is full.
    #[error("no space left")]
    Full,
    /// Another container has committed a version of which not every file has arrived here.
    #[error("the newest version has not arrived whole yet")]
    Arriving,
    /// Any other error of the operating system.
    #[error(transparent)]
    Io(io::Error),
    /// An error of libgit2.
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

/// The state that all projects share.
#[derive(Debug)]
struct Shared {
    limits: FileLimits,
    keyring: Keyring,
    importer: Importer,
}

/// One project, with an open handle on its folder.
#[derive(Debug)]
pub struct Project {
    dir: Dir,
    /// The path of the folder, for libgit2, which takes only paths. The handle was opened along the
    /// same names without following a link, and only workers can change the volume.
    path: PathBuf,
    /// The project and its owner. A copy that is being made has the key of the project that it
    /// becomes.
    key: ProjectKey,
    shared: Arc<Shared>,
    /// The pass, which is given back when the project has been closed.
    pass: Pass,
}

impl Projects {
    /// Makes a value for the projects on this volume, with their limits, and with the importer of
    /// other programs' histories.
    pub fn new(volume: Volume, limits: FileLimits, importer: Importer) -> Self {
        git::prepare_library();
        let shared = Shared { limits, keyring: Keyring::new(volume.clone()), importer };
        Self { volume, shared: Arc::new(shared) }
    }

    /// Opens a project for reading. A save that was killed is finished first. Blocks.
    pub fn open(&self, key: ProjectKey) -> Result<Project, ProjectError> {
        self.open_as(key, self.volume.enter(Activity::Read))
    }

    /// The same, for copying the project into the workspace of a run. Blocks.
    pub fn open_to_copy(&self, key: ProjectKey) -> Result<Project, ProjectError> {
        self.open_as(key, self.volume.enter(Activity::Copy))
    }

    fn open_as(&self, key: ProjectKey, pass: Pass) -> Result<Project, ProjectError> {
        let dir = self.volume.open(Location::Project(key))?;
        let project = self.project_at(self.volume.path_of(Location::Project(key)), dir, key, pass);
        if writer::is_marked(&project.dir) {
            // The project can be read even if nothing can be written.
            if let Err(error) = project.mend() {
                tracing::warn!(%error, "a project could not be mended");
            }
        }
        Ok(project)
    }

    /// Opens a project. If its folder does not exist, makes it. Blocks.
    fn open_or_create(&self, key: ProjectKey, pass: Pass) -> Result<Project, ProjectError> {
        let dir = self.volume.make(Location::Project(key))?;
        Ok(self.project_at(self.volume.path_of(Location::Project(key)), dir, key, pass))
    }

    fn project_at(&self, path: PathBuf, dir: Dir, key: ProjectKey, pass: Pass) -> Project {
        Project { dir, path, key, shared: Arc::clone(&self.shared), pass }
    }
}

impl Project {
    /// The handle of the project's folder.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The path of the project's folder, only for libgit2, which does not take handles.
    fn path(&self) -> &Path {
        &self.path
    }

    fn key(&self) -> ProjectKey {
        self.key
    }

    /// The name of the project for the log.
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

    /// Finishes a save that was killed, or removes what it has left. Does nothing if another
    /// request holds the project's turn.
    fn mend(&self) -> Result<(), ProjectError> {
        let _saving = self.pass.enter(Activity::Save);
        match Writer::after_a_kill(self)? {
            Some(writer) => journal::finish(self, &writer),
            None => Ok(()),
        }
    }
}
