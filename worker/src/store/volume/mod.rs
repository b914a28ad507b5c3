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
mod reloads;
mod socket;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;

pub use commits::{Change, News, NotCommitted};
pub(super) use draft::{Draft, sweep};
pub(super) use gate::Pass;
pub use gate::{Activity, Gate, InFlight, VolumeFile};
pub(super) use keyring::{Key, Keyring};
pub use layout::ProjectKey;
pub(super) use layout::{DRAFT, KEYS, Location, SAVE, TRASH};
pub use reloads::Place;

use commits::Commits;
use reloads::Reloads;
use socket::Socket;

use crate::safe_fs::{AtHand, Dir, FileError};

/// How the program that mounted the volume is asked to commit and to reload it.
#[derive(Debug, Clone)]
pub struct Link {
    /// The path of its Unix socket.
    pub socket: PathBuf,
    /// How long one commit may take.
    pub commit_timeout: Duration,
    /// How long one reload may take.
    pub reload_timeout: Duration,
    /// How long ago the last reload may be when something is read.
    pub max_age: Duration,
    /// A local folder for files that are being sent.
    pub aside: PathBuf,
}

/// The operations of a volume that has to be committed and reloaded.
#[derive(Debug, Clone)]
struct Linked {
    commits: Arc<Commits>,
    reloads: Arc<Reloads>,
}

/// The volume. Clones refer to the same one.
#[derive(Debug, Clone)]
pub struct Volume {
    path: PathBuf,
    gate: Arc<Gate>,
    /// `None` if the volume needs no commits and reloads, like an ordinary disk.
    linked: Option<Linked>,
    /// Whether files can be had from the system's caches alone, once it was looked at.
    is_cached: Arc<OnceLock<bool>>,
}

impl Volume {
    /// Makes a value for the volume that is mounted at `path`. This opens no file.
    pub fn new(path: impl Into<PathBuf>, link: Option<&Link>) -> Self {
        let gate = Arc::new(Gate::with_aside(link.map(|link| link.aside.clone())));
        let linked = link.map(|link| {
            let socket = Arc::new(Socket::new(link.socket.clone()));
            let (limit, max_age) = (link.reload_timeout, link.max_age);
            let reloads = Reloads::new(Arc::clone(&socket), limit, max_age, Arc::clone(&gate));
            let commits = Commits::new(socket, link.commit_timeout, Arc::clone(&gate));
            Linked { commits: Arc::new(commits), reloads: Arc::new(reloads) }
        });
        Self { path: path.into(), gate, linked, is_cached: Arc::default() }
    }

    /// Waits until what is read of a place is as fresh as it has to be. Returns at once where
    /// nothing has to be reloaded.
    pub async fn freshen(&self, place: Place) {
        if let Some(linked) = &self.linked {
            linked.reloads.freshen(place).await;
        }
    }

    /// Notes that another container has committed a change of this place.
    pub fn changed_elsewhere(&self, place: Place) {
        if let Some(linked) = &self.linked {
            linked.reloads.told(place);
        }
    }

    /// Begins a change that a client is told of only after it was committed.
    pub fn change(&self, place: Place) -> Change {
        let commits = self.linked.as_ref().map(|linked| Arc::clone(&linked.commits));
        Change::begin(commits, place, &self.gate)
    }

    /// Makes a change on top of what others have committed, and commits it. Returns what `work`
    /// returns.
    pub async fn changing<T, E: From<NotCommitted>>(
        &self,
        place: Place,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.freshen(place).await;
        let change = self.change(place);
        let done = work.await?;
        change.commit().await?;
        Ok(done)
    }

    /// The changes that are committed from now on, for whoever tells peers of them. `None` if the
    /// volume needs no commits, or if somebody else has them.
    pub fn news(&self) -> Option<mpsc::Receiver<News>> {
        self.linked.as_ref()?.commits.news()
    }

    /// Lets the volume be reloaded from now on.
    pub fn allow_reloads(&self) {
        if let Some(linked) = &self.linked {
            linked.reloads.allow();
        }
    }

    /// Checks whether the volume can be opened. Blocks.
    pub fn check(&self) -> io::Result<()> {
        let _pass = self.enter(Activity::Read);
        self.root().map(drop)
    }

    /// The gate, which knows what is in flight.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Begins an activity. Everything that it opens must be closed before the pass is dropped. Blocks
    /// while the volume is reloaded.
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
        // The gate of a volume that is reloaded must be passed on a thread that may wait.
        if self.linked.is_some() || self.is_cached.get() != Some(&true) {
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
