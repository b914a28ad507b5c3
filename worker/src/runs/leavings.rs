//! Removes what runs leave in the scratch folder, on a thread of its own.
//!
//! A run may leave hundreds of thousands of folders, of which some disks remove only a few hundred
//! per second, and the next run needs the slot's folder. So the folder is renamed, which takes no
//! time, and the run waits only a moment for its removal: long enough for what an ordinary run
//! leaves. If too many removals are pending, or the disk is nearly full, the run waits until its
//! folder is removed, so runs cannot pile up folders.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::safe_fs::{Dir, Kind, empty};
use crate::sandbox::release_root;

/// The beginning of the names of folders that are to be removed. A random text follows.
const PREFIX: &str = "gone-";
/// The folder of a run on which its minimal root is mounted.
pub(super) const ROOT: &str = "root";
/// How many removals may be pending, in addition to the one that is going on.
const PENDING: usize = 4;
/// How long the end of a run waits for its removal.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The handle with which folders are given up. The thread ends when it is dropped.
#[derive(Debug)]
pub(super) struct Leavings {
    scratch: PathBuf,
    reserve_bytes: u64,
    jobs: SyncSender<Job>,
}

/// Folders that are to be removed, by their names in the scratch folder.
#[derive(Debug)]
struct Job {
    names: Vec<OsString>,
    done: SyncSender<()>,
}

impl Leavings {
    /// Starts the thread. `reserve_bytes` is the space that should stay free on the disk.
    pub(super) fn start(scratch: &Path, reserve_bytes: u64) -> io::Result<Self> {
        Self::start_with(scratch, reserve_bytes, remove)
    }

    fn start_with(
        scratch: &Path,
        reserve_bytes: u64,
        mut remove: impl FnMut(&Path, &OsStr) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, given) = sync_channel::<Job>(PENDING);
        let folder = scratch.to_owned();
        let remove_all = move || {
            for job in given {
                job.carry_out(|name| remove(&folder, name));
            }
        };
        std::thread::Builder::new().name("leavings".to_owned()).spawn(remove_all)?;
        Ok(Self { scratch: scratch.to_owned(), reserve_bytes, jobs })
    }

    /// Gives up everything in the scratch folder, which earlier workers have left, without waiting
    /// for the removal. Blocks only for renaming.
    pub(super) fn give_up_all(&self) -> io::Result<()> {
        let folder = Dir::open_root(&self.scratch)?;
        let mut names = Vec::new();
        for entry in folder.entries()? {
            names.push(self.rename(&folder, entry.name())?);
        }
        self.send(names).map(drop)
    }

    /// Gives up one folder in the scratch folder. Blocks.
    pub(super) fn give_up(&self, name: &OsStr) -> io::Result<()> {
        let folder = Dir::open_root(&self.scratch)?;
        let done = self.send(vec![self.rename(&folder, name)?])?;
        while done.recv_timeout(REMOVAL_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            if !folder.space()?.is_low(self.reserve_bytes) {
                break;
            }
        }
        Ok(())
    }

    /// Waits until everything that was given up before is removed. Blocks.
    pub(super) fn settle(&self) -> io::Result<()> {
        // An error means that the thread has ended.
        self.send(Vec::new())?.recv().map_err(io::Error::other)
    }

    /// Renames a folder to a random name. A folder of an older worker may be a mount point itself.
    fn rename(&self, folder: &Dir, name: &OsStr) -> io::Result<OsString> {
        if name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            return Ok(name.to_owned());
        }
        if Kind::of(&folder.status(name)?) == Kind::Folder {
            // Where mounts are shared and a launcher was killed, its root is still mounted, and a
            // mount point can be neither renamed nor removed.
            let path = self.scratch.join(name);
            release_root(&path.join(ROOT))?;
            release_root(&path)?;
        }
        let gone = format!("{PREFIX}{}", uuid::Uuid::new_v4());
        folder.move_to(name, folder, &gone)?;
        Ok(gone.into())
    }

    /// Passes folders to the thread. The receiver gets a message when the removal has ended.
    fn send(&self, names: Vec<OsString>) -> io::Result<Receiver<()>> {
        let (done, hears) = sync_channel(1);
        self.jobs
            .send(Job { names, done })
            .map_err(|_| io::Error::other("the thread has ended"))?;
        Ok(hears)
    }
}

impl Job {
    fn carry_out(self, mut remove: impl FnMut(&OsStr) -> io::Result<()>) {
        for name in self.names {
            if let Err(error) = remove(&name) {
                tracing::warn!(%error, "a private copy could not be removed");
            }
        }
        // An error means that no run waits for this removal any more.
        self.done.send(()).unwrap_or_default();
    }
}

fn remove(scratch: &Path, name: &OsStr) -> io::Result<()> {
    let parent = Dir::open_root(scratch)?;
    // Earlier programs may have left files too.
    match parent.folder(name) {
        Ok(folder) => {
            empty(&folder)?;
            parent.remove_empty_folder(name)?;
        }
        Err(_) => parent.remove_file(name)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn everything_that_is_found_is_removed() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("0/tmp/a/b")).unwrap();
        fs::create_dir_all(temp.path().join("gone-before/a")).unwrap();
        fs::write(temp.path().join("file"), "x").unwrap();
        let leavings = Leavings::start(temp.path(), 0).unwrap();
        leavings.give_up_all().unwrap();
        assert!(!temp.path().join("0").exists());
        leavings.settle().unwrap();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_place_is_free_at_once_and_what_little_was_there_is_gone() {
        let temp = tempfile::tempdir().unwrap();
        let leavings = Leavings::start(temp.path(), 0).unwrap();
        for _ in 0..20 {
            fs::create_dir_all(temp.path().join("0/tmp/a/b")).unwrap();
            leavings.give_up(OsStr::new("0")).unwrap();
            assert!(!temp.path().join("0").exists());
        }
        leavings.settle().unwrap();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_long_removal_holds_a_place_for_a_moment_and_many_hold_it_until_one_has_ended() {
        let temp = tempfile::tempdir().unwrap();
        let (go_on, told) = sync_channel(0);
        let slowly = move |scratch: &Path, name: &OsStr| {
            told.recv().map_err(io::Error::other)?;
            remove(scratch, name)
        };
        let leavings = Leavings::start_with(temp.path(), 0, slowly).unwrap();
        let give_up = || {
            fs::create_dir(temp.path().join("0")).unwrap();
            leavings.give_up(OsStr::new("0")).unwrap();
        };
        // One removal is going on, and the others are pending.
        for _ in 0..=PENDING {
            give_up();
        }
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), PENDING + 1);
        std::thread::scope(|threads| {
            let one_more = threads.spawn(give_up);
            std::thread::sleep(REMOVAL_TIMEOUT * 2);
            assert!(!one_more.is_finished());
            go_on.send(()).unwrap();
            one_more.join().unwrap();
            assert_eq!(fs::read_dir(temp.path()).unwrap().count(), PENDING + 1);
            drop(go_on);
        });
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a test that looks at nothing must say so")]
    fn a_long_removal_holds_a_place_while_the_disk_is_nearly_full() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: only root can mount a small disk");
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let (flags, none) = (nix::mount::MsFlags::empty(), Some("tmpfs"));
        nix::mount::mount(none, temp.path(), none, flags, Some("size=10m")).unwrap();
        fs::create_dir(temp.path().join("0")).unwrap();
        fs::write(temp.path().join("0/large"), vec![1; 19 << 19]).unwrap();
        let (go_on, told) = sync_channel(0);
        let slowly = move |scratch: &Path, name: &OsStr| {
            told.recv().map_err(io::Error::other)?;
            remove(scratch, name)
        };
        let leavings = Leavings::start_with(temp.path(), u64::MAX, slowly).unwrap();
        std::thread::scope(|threads| {
            let given_up = threads.spawn(|| leavings.give_up(OsStr::new("0")));
            std::thread::sleep(REMOVAL_TIMEOUT * 2);
            let waits = !given_up.is_finished();
            go_on.send(()).unwrap();
            given_up.join().unwrap().unwrap();
            nix::mount::umount(temp.path()).unwrap();
            assert!(waits);
        });
    }
}
