//! The gate: counts what is in flight on the volume.
//!
//! Code that opens a file on the volume holds a pass as long as the file is open, and the gate
//! counts the passes. So the worker can wait until no change is in progress, or until no file is
//! open; and it can close the gate, so that none is opened meanwhile.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Deref;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::Notify;

/// How much of a file is copied at once, in bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// A kind of activity on the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Files are read: listed, compared, or sent to a client.
    Read,
    /// A project is copied into the workspace of a run.
    Copy,
    /// A client is sending an asset.
    Upload,
    /// Something is changed: a version is made or kept, a project is repaired or copied, an asset
    /// is deleted or restored.
    Save,
    /// A client waits for a change to be made and committed. No file is open for that.
    Commit,
}

/// The number of activities of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InFlight {
    /// The number of [`Activity::Read`].
    pub reads: usize,
    /// The number of [`Activity::Copy`].
    pub copies: usize,
    /// The number of [`Activity::Upload`].
    pub uploads: usize,
    /// The number of [`Activity::Save`].
    pub saves: usize,
    /// The number of [`Activity::Commit`].
    pub commits: usize,
}

/// Counts the activities on one volume.
#[derive(Debug, Default)]
pub struct Gate {
    reads: AtomicUsize,
    copies: AtomicUsize,
    uploads: AtomicUsize,
    saves: AtomicUsize,
    commits: AtomicUsize,
    /// The number of changes that have ended.
    changes: AtomicU64,
    is_closed: AtomicBool,
    /// Locked and notified when the gate is opened.
    opened: (Mutex<()>, Condvar),
    /// The local folder for files that are sent for long, if an open file of the volume would be in
    /// the way.
    aside: Option<PathBuf>,
    /// Notified when the last activity of a kind has ended.
    ended: Notify,
}

/// A pass: counts as one activity until it and its clones are dropped.
#[derive(Debug, Clone)]
pub(in crate::store) struct Pass(Arc<Entered>);

#[derive(Debug)]
struct Entered {
    gate: Arc<Gate>,
    activity: Activity,
}

/// A gate that is closed. It is opened when this value is dropped.
#[derive(Debug)]
pub(super) struct Closed<'g>(&'g Gate);

impl Gate {
    /// A gate of a volume on which no file may stay open for long, with a local folder for files
    /// that are sent.
    pub(super) fn with_aside(aside: Option<PathBuf>) -> Self {
        Self { aside, ..Self::default() }
    }

    /// Begins an activity. Blocks while the gate is closed, unless no file is opened for that.
    pub(in crate::store) fn enter(self: &Arc<Self>, activity: Activity) -> Pass {
        loop {
            // In this order, and in the other one where the gate is closed and then the activities
            // are counted: whoever comes second sees the other.
            let pass = self.enter_anyway(activity);
            if activity == Activity::Commit || !self.is_closed.load(Ordering::SeqCst) {
                return pass;
            }
            drop(pass);
            let (lock, opened) = &self.opened;
            let mut locked = lock.lock().unwrap_or_else(PoisonError::into_inner);
            while self.is_closed.load(Ordering::SeqCst) {
                locked = opened.wait(locked).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn enter_anyway(self: &Arc<Self>, activity: Activity) -> Pass {
        self.counter(activity).fetch_add(1, Ordering::SeqCst);
        Pass(Arc::new(Entered { gate: Arc::clone(self), activity }))
    }

    /// Lets no activity begin until the returned value is dropped. Those that are in flight go on.
    pub(super) fn close(&self) -> Closed<'_> {
        self.is_closed.store(true, Ordering::SeqCst);
        Closed(self)
    }

    /// The activities that are in flight now.
    pub fn in_flight(&self) -> InFlight {
        let count = |activity| self.counter(activity).load(Ordering::Acquire);
        InFlight {
            reads: count(Activity::Read),
            copies: count(Activity::Copy),
            uploads: count(Activity::Upload),
            saves: count(Activity::Save),
            commits: count(Activity::Commit),
        }
    }

    /// Waits for a moment in which no activity of this kind is in flight.
    pub async fn without(&self, activity: Activity) {
        self.without_any(&[activity]).await;
    }

    /// Waits for a moment in which no activity of these kinds is in flight.
    pub(super) async fn without_any(&self, activities: &[Activity]) {
        loop {
            // Listening begins before the check, so that no end in between is missed.
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            let count = |activity| self.counter(activity).load(Ordering::SeqCst);
            if activities.iter().all(|activity| count(*activity) == 0) {
                return;
            }
            ended.await;
        }
    }

    fn counter(&self, activity: Activity) -> &AtomicUsize {
        match activity {
            Activity::Read => &self.reads,
            Activity::Copy => &self.copies,
            Activity::Upload => &self.uploads,
            Activity::Save => &self.saves,
            Activity::Commit => &self.commits,
        }
    }

    /// The number of changes of the volume that have ended.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        let (lock, opened) = &self.0.opened;
        let _locked = lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.is_closed.store(false, Ordering::SeqCst);
        opened.notify_all();
    }
}

impl Pass {
    /// Begins another activity on the same volume. Also while the gate is closed, because it is not
    /// passed before this activity has ended.
    pub(in crate::store) fn enter(&self, activity: Activity) -> Self {
        self.0.gate.enter_anyway(activity)
    }

    /// Whether other containers have copies of the volume, whose changes arrive in any order.
    pub(in crate::store) fn is_shared(&self) -> bool {
        self.0.gate.aside.is_some()
    }

    /// Notes that a change of the volume has ended, so that the next answer to a change waits for a
    /// commit of it.
    pub(in crate::store) fn changed(&self) {
        self.0.gate.changes.fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.gate.counter(self.activity).fetch_sub(1, Ordering::SeqCst) == 1 {
            self.gate.ended.notify_waiters();
        }
    }
}

/// An open file of the volume. It counts as in flight as long as it is open.
#[derive(Debug)]
pub struct VolumeFile {
    // The file is closed before the pass is given back.
    file: File,
    /// `None` if the content is in a local file.
    pass: Option<Pass>,
}

impl VolumeFile {
    pub(in crate::store) fn new(file: File, pass: Pass) -> Self {
        Self { file, pass: Some(pass) }
    }

    /// A local file with the `length` bytes from `start` on, if the file must not stay open for as
    /// long as a client takes to receive it. It has no name, so nothing of it is left. Blocks.
    pub fn set_aside(&self, start: u64, length: u64) -> io::Result<Option<Self>> {
        let folder = self.pass.as_ref().and_then(|pass| pass.0.gate.aside.as_ref());
        let Some(folder) = folder else { return Ok(None) };
        let mut local = tempfile::tempfile_in(folder)?;
        let mut piece = vec![0; PIECE_BYTES];
        let (mut at, end) = (start, start + length);
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let piece = piece.get_mut(..most).unwrap_or_default();
            self.file.read_exact_at(piece, at)?;
            local.write_all(piece)?;
            at += most as u64;
        }
        Ok(Some(Self { file: local, pass: None }))
    }
}

impl Deref for VolumeFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_pass_counts_once_until_its_last_clone_is_dropped() {
        let gate = Arc::new(Gate::default());
        assert_eq!(gate.in_flight(), InFlight::default());
        let save = gate.enter(Activity::Save);
        let same = save.clone();
        let read = save.enter(Activity::Read);
        let expected = InFlight { saves: 1, reads: 1, ..InFlight::default() };
        assert_eq!(gate.in_flight(), expected);
        drop(save);
        assert_eq!(gate.in_flight(), expected);
        drop((same, read));
        assert_eq!(gate.in_flight(), InFlight::default());
    }

    #[test]
    fn nothing_enters_a_closed_gate_but_what_is_inside_already() {
        let gate = Arc::new(Gate::default());
        let inside = gate.enter(Activity::Save);
        let closed = gate.close();
        drop((inside.enter(Activity::Read), gate.enter(Activity::Commit)));
        let (sender, entered) = std::sync::mpsc::channel();
        let entering = std::thread::spawn({
            let gate = Arc::clone(&gate);
            move || {
                let pass = gate.enter(Activity::Read);
                sender.send(()).unwrap();
                drop(pass);
            }
        });
        assert!(entered.recv_timeout(Duration::from_millis(200)).is_err());
        drop(closed);
        entered.recv_timeout(Duration::from_secs(30)).unwrap();
        entering.join().unwrap();
    }

    #[test]
    fn a_part_of_a_file_that_is_set_aside_holds_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let gate = Arc::new(Gate::with_aside(Some(temp.path().to_owned())));
        let file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..=255).cycle().take(3 * PIECE_BYTES).collect();
        file.write_all_at(&content, 0).unwrap();
        let file = VolumeFile::new(file, gate.enter(Activity::Read));
        let length = 2 * PIECE_BYTES + 1;
        let local = file.set_aside(5, length as u64).unwrap().unwrap();
        drop(file);
        assert_eq!(gate.in_flight(), InFlight::default());
        let mut read = vec![0; length];
        local.read_exact_at(&mut read, 0).unwrap();
        assert!(read == content[5..5 + length]);
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
        assert!(local.set_aside(0, 1).unwrap().is_none(), "it is aside already");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_last_of_the_kind_and_minds_no_other() {
        let gate = Arc::new(Gate::default());
        gate.without(Activity::Save).await;
        let (first, second) = (gate.enter(Activity::Save), gate.enter(Activity::Save));
        let _reading = gate.enter(Activity::Read);
        gate.without(Activity::Upload).await;
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.without(Activity::Save).await }
        });
        drop(first);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }
}
