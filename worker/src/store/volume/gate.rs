//! The gate: counts what is in flight on the volume.
//!
//! Code that opens a file on the volume holds a pass as long as the file is open, and the gate
//! counts the passes. So the worker can wait until no change is in progress, or until no file is
//! open.

use std::fs::File;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

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

impl Gate {
    /// Begins an activity.
    pub(in crate::store) fn enter(self: &Arc<Self>, activity: Activity) -> Pass {
        self.counter(activity).fetch_add(1, Ordering::AcqRel);
        Pass(Arc::new(Entered { gate: Arc::clone(self), activity }))
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
        loop {
            // Listening begins before the check, so that no end in between is missed.
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.counter(activity).load(Ordering::Acquire) == 0 {
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

impl Pass {
    /// Begins another activity on the same volume.
    pub(in crate::store) fn enter(&self, activity: Activity) -> Self {
        self.0.gate.enter(activity)
    }

    /// Notes that a change of the volume has ended, so that the next answer to a change waits for a
    /// commit of it.
    pub(in crate::store) fn changed(&self) {
        self.0.gate.changes.fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.gate.counter(self.activity).fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gate.ended.notify_waiters();
        }
    }
}

/// An open file of the volume. It counts as in flight as long as it is open.
#[derive(Debug)]
pub struct VolumeFile {
    // The file is closed before the pass is given back.
    file: File,
    _pass: Pass,
}

impl VolumeFile {
    pub(in crate::store) fn new(file: File, pass: Pass) -> Self {
        Self { file, _pass: pass }
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
