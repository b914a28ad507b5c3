//! Projects on the volume: finding, reading and saving them.
//!
//! Everything below the data folder is reached from here and from nowhere else. The folder is
//! opened anew for each request and nothing is held open in between, because a volume cannot be
//! reloaded while a file in it is open.

mod files;
mod git;
mod publish;
mod snapshot;

use std::io;
use std::path::PathBuf;

pub use files::{Listing, OpenFile};
pub use publish::{Action, Changes, Published, SavedFile};

use crate::safe_fs::{Dir, FileError};
use crate::types::{ProjectId, UserId};

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
    /// The disk or the volume is full.
    #[error("no space left")]
    Full,
    /// The operating system refused.
    #[error(transparent)]
    Io(io::Error),
    /// git refused.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
}

impl From<io::Error> for ProjectError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}

impl From<FileError> for ProjectError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::NotFound => Self::NotFound,
            FileError::NotRegular => {
                Self::Unusable("a link or a special file is in the way".to_owned())
            }
            FileError::Io(error) => error.into(),
        }
    }
}

/// The volume with all projects.
#[derive(Debug, Clone)]
pub struct Volume(PathBuf);

/// One project, held open by a handle on its folder.
#[derive(Debug)]
pub struct Project {
    dir: Dir,
    /// For libgit2, which takes paths only. The handle was opened along the same names without
    /// following a link, and nobody but workers can change the volume.
    path: PathBuf,
}

/// Whose project, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProjectKey {
    /// The owner.
    pub user: UserId,
    /// The project.
    pub project: ProjectId,
}

impl ProjectKey {
    /// The folders from the volume's root down. The only place that knows the layout.
    fn folders(self) -> [String; 4] {
        ["users".to_owned(), self.user.to_string(), "projects".to_owned(), self.project.to_string()]
    }
}

impl Volume {
    /// The volume that is mounted at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        git::prepare_library();
        Self(path.into())
    }

    /// Whether the volume can be opened at all.
    pub fn check(&self) -> io::Result<()> {
        Dir::open_root(&self.0).map(drop)
    }

    /// Opens a project. Blocking.
    pub fn open(&self, key: ProjectKey) -> Result<Project, ProjectError> {
        self.walk(key, |dir, name| dir.folder(name))
    }

    /// Opens a project and makes its folder first if there is none. Blocking.
    pub fn open_or_create(&self, key: ProjectKey) -> Result<Project, ProjectError> {
        self.walk(key, |dir, name| dir.make_folder(name))
    }

    fn walk(
        &self,
        key: ProjectKey,
        step: impl Fn(&Dir, &String) -> Result<Dir, FileError>,
    ) -> Result<Project, ProjectError> {
        let mut dir = Dir::open_root(&self.0)?;
        let mut path = self.0.clone();
        for name in key.folders() {
            dir = step(&dir, &name)?;
            path.push(name);
        }
        Ok(Project { dir, path })
    }
}

impl Project {
    /// The folder's handle, for copying out of it.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }
}
