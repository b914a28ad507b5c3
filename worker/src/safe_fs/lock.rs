//! Locks on folders: on one machine, a folder has at most one holder at a time.
//!
//! The kernel releases a lock when its holder dies. Between containers that share a volume, locks
//! have no effect.
//!
//! Some file systems have no locks. This module alone decides what happens then: the lock is
//! granted, because a worker that refused to save would be useless on such a volume. Other
//! processes are then not kept out, but the threads of this process are, because it keeps its own
//! list of the folders that it holds.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::stat::fstat;

use super::Dir;

/// How often a waiting thread checks whether the lock is free.
const PAUSE: Duration = Duration::from_millis(2);
/// The errors of a file system that has no locks, or whose server refuses them.
const NO_LOCKS: [Errno; 3] = [Errno::ENOLCK, Errno::EOPNOTSUPP, Errno::ENOSYS];

/// All folders that this process holds.
static HELD: Mutex<BTreeSet<FolderId>> = Mutex::new(BTreeSet::new());

/// The identity of a folder, independent of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct FolderId {
    device: u64,
    inode: u64,
}

/// The lock on a folder. It is released when this value is dropped.
#[derive(Debug)]
pub struct FolderLock {
    // Dropped first, which unlocks the folder, so that another thread that finds the folder free in
    // `HELD` gets the lock.
    _handle: File,
    noted: Noted,
}

/// A folder's entry in [`HELD`].
#[derive(Debug)]
struct Noted(FolderId);

impl Noted {
    fn new(id: FolderId) -> Option<Self> {
        held().insert(id).then(|| Self(id))
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        held().remove(&self.0);
    }
}

fn held() -> MutexGuard<'static, BTreeSet<FolderId>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dir {
    /// Locks this folder. `None` if it is locked already. Most file systems also lock a folder that
    /// has been removed: [`FolderLock::is_of`] says whether a name still refers to it. Blocks.
    pub fn try_lock(&self) -> io::Result<Option<FolderLock>> {
        // A handle that was made from this one would share its locks.
        let handle = match self.open_to_read() {
            Ok(handle) => handle,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let stat = fstat(&handle)?;
        let id = FolderId { device: stat.st_dev, inode: stat.st_ino };
        let Some(noted) = Noted::new(id) else {
            return Ok(None);
        };
        match handle.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) if has_no_locks(&error) => warn_once(&error),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Some(FolderLock { _handle: handle, noted }))
    }

    /// Waits until this folder is free and locks it. `None` if that takes longer than `timeout`.
    /// Blocks.
    pub fn lock_within(&self, timeout: Duration) -> io::Result<Option<FolderLock>> {
        let began = Instant::now();
        loop {
            let lock = self.try_lock()?;
            if lock.is_some() || began.elapsed() >= timeout {
                return Ok(lock);
            }
            park_timeout(PAUSE);
        }
    }
}

impl FolderLock {
    /// Whether this is the lock of the folder that has this status.
    pub fn is_of(&self, stat: &nix::sys::stat::FileStat) -> bool {
        self.noted.0 == FolderId { device: stat.st_dev, inode: stat.st_ino }
    }
}

fn has_no_locks(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    NO_LOCKS.iter().any(|errno| code == Some(*errno as i32))
}

fn warn_once(error: &io::Error) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(%error, "a file system knows no locks: no second worker may use it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_the_next_when_it_is_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        let held = dir.try_lock().unwrap().unwrap();
        assert!(dir.try_lock().unwrap().is_none());
        // A second handle on the same folder.
        let again = Dir::open_root(temp.path()).unwrap();
        assert!(again.lock_within(Duration::from_millis(5)).unwrap().is_none());
        let waiting = std::thread::spawn(move || again.lock_within(Duration::from_mins(1)));
        drop(held);
        assert!(waiting.join().unwrap().unwrap().is_some());
    }

    #[test]
    fn another_process_is_kept_out_and_keeps_out() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        // For the kernel, two open files of one process are like two processes.
        let other = File::open(temp.path()).unwrap();
        other.lock().unwrap();
        assert!(dir.try_lock().unwrap().is_none());
        drop(other);
        let held = dir.try_lock().unwrap().unwrap();
        let other = File::open(temp.path()).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        other.try_lock().unwrap();
    }

    #[test]
    fn the_lock_of_a_removed_folder_is_not_that_of_a_new_one_in_its_place() {
        let temp = tempfile::tempdir().unwrap();
        let parent = Dir::open_root(temp.path()).unwrap();
        let old = parent.make_folder("folder").unwrap();
        let lock = old.try_lock().unwrap().unwrap();
        assert!(lock.is_of(&parent.status("folder").unwrap()));
        assert!(parent.remove_empty_folder("folder").unwrap());
        let new = parent.make_folder("folder").unwrap();
        assert!(!lock.is_of(&parent.status("folder").unwrap()));
        // A waiter for the new folder need not wait for the old one.
        assert!(new.try_lock().unwrap().is_some());
    }
}
