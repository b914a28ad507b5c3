//! The volume: the folder that contains all projects and assets.
//!
//! Everything below it is opened from here. Its root is opened anew for each request and no file is
//! held open in between, because a volume that several containers share cannot be reloaded while a
//! file on it is open.

mod commits;
mod draft;
mod gate;
mod keyring;
mod layout;
mod socket;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use commits::Commits;
pub use commits::{Change, NotCommitted};
pub(super) use draft::{Draft, sweep};
pub(super) use gate::Pass;
pub use gate::{Activity, Gate, InFlight, VolumeFile};
pub(super) use keyring::{Key, Keyring};
pub use layout::ProjectKey;
pub(super) use layout::{DRAFT, KEYS, Location, SAVE, TRASH};

use crate::safe_fs::{AtHand, Dir, FileError};

/// How the program that mounted the volume is asked to commit it.
#[derive(Debug, Clone)]
pub struct Link {
    /// The path of its Unix socket.
    pub socket: PathBuf,
    /// How long one commit may take.
    pub commit_timeout: Duration,
}

/// The volume. Clones refer to the same one.
#[derive(Debug, Clone)]
pub struct Volume {
    path: PathBuf,
    gate: Arc<Gate>,
    /// `None` if the volume needs no commits, like an ordinary disk.
    commits: Option<Arc<Commits>>,
    /// Whether files can be had from the system's caches alone, once it was looked at.
    is_cached: Arc<OnceLock<bool>>,
}

impl Volume {
    /// Makes a value for the volume that is mounted at `path`. This opens no file.
    pub fn new(path: impl Into<PathBuf>, link: Option<&Link>) -> Self {
        let gate: Arc<Gate> = Arc::default();
        let commits = link.map(|link| {
            let (socket, limit) = (link.socket.clone(), link.commit_timeout);
            Arc::new(Commits::new(socket, limit, Arc::clone(&gate)))
        });
        Self { path: path.into(), gate, commits, is_cached: Arc::default() }
    }

    /// Begins a change that a client is told of only after it was committed.
    pub fn change(&self) -> Change {
        Change::begin(self.commits.clone(), &self.gate)
    }

    /// Checks whether the volume can be opened. Blocks.
    pub fn check(&self) -> io::Result<()> {
        self.root().map(drop)
    }

    /// The gate, which knows what is in flight.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Begins an activity. Everything that it opens must be closed before the pass is dropped.
    pub(super) fn enter(&self, activity: Activity) -> Pass {
        self.gate.enter(activity)
    }

    /// Opens the root of the volume. Blocks.
    pub(super) fn root(&self) -> io::Result<Dir> {
        let root = Dir::open_root(&self.path)?;
        self.is_cached.get_or_init(|| AtHand::is_possible(&root));
        Ok(root)
    }

    /// Opens a folder if nothing has to be waited for. Asks nothing of the system where that is never
    /// so, as in gVisor and on a network volume.
    pub(super) fn open_at_hand(&self, location: Location) -> Option<AtHand> {
        if self.is_cached.get() != Some(&true) {
            return None;
        }
        AtHand::open_root(&self.path)?.folder(&location.path())
    }

    /// Opens a folder of the volume. Blocks.
    pub(super) fn open(&self, location: Location) -> Result<Dir, FileError> {
        self.root()?.folder(location.path())
    }

    /// Opens a folder of the volume. If it does not exist, makes it and the folders around it.
    /// Blocks.
    pub(super) fn make(&self, location: Location) -> Result<Dir, FileError> {
        self.root()?.make_folders(&location.path())
    }

    /// The path of a folder, for libgit2, which does not take handles. Only workers can change the
    /// volume, so the path refers to the same folder as a handle that was opened without following
    /// links.
    pub(super) fn path_of(&self, location: Location) -> PathBuf {
        self.path.join(location.path())
    }
}
