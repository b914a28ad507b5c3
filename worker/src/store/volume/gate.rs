//! What is in flight on the volume.
//!
//! Whoever opens anything on it holds a pass for as long as it is open, and the gate counts them.
//! So others can wait until nothing is in the middle of a change, or until nothing is open at all.

use std::fs::File;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// What somebody does on the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Files are read: listed, compared, or sent to a client.
    Read,
    /// A project is copied into the workspace of a run.
    Copy,
    /// A client is sending an asset.
    Upload,
    /// Something is changed: a version is made or kept, a project is mended or copied, an asset goes
    /// to the trash or comes back.
    Save,
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InFlight {
    /// See [`Activity::Read`].
    pub reads: usize,
    /// See [`Activity::Copy`].
    pub copies: usize,
    /// See [`Activity::Upload`].
    pub uploads: usize,
    /// See [`Activity::Save`].
    pub saves: usize,
}

/// Counts what is in flight on one volume.
#[derive(Debug, Default)]
pub struct Gate {
    reads: AtomicUsize,
    copies: AtomicUsize,
    uploads: AtomicUsize,
    saves: AtomicUsize,
    /// The last of a kind has ended.
    ended: Notify,
}

/// Counts as one activity until it and its clones are dropped.
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

    /// What is in flight now.
    pub fn in_flight(&self) -> InFlight {
        let count = |activity| self.counter(activity).load(Ordering::Acquire);
        InFlight {
            reads: count(Activity::Read),
            copies: count(Activity::Copy),
            uploads: count(Activity::Upload),
            saves: count(Activity::Save),
        }
    }

    /// Waits for a moment in which nothing of this kind is in flight.
    pub async fn without(&self, activity: Activity) {
        loop {
            // Listening begins before looking, so that no end in between is missed.
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
        }
    }
}

impl Pass {
    /// Begins another activity beside this one.
    pub(in crate::store) fn enter(&self, activity: Activity) -> Self {
        self.0.gate.enter(activity)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.gate.counter(self.activity).fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gate.ended.notify_waiters();
        }
    }
}

/// An open file of the volume. It is in flight for as long as it is open.
#[derive(Debug)]
pub struct VolumeFile {
    // Closed before the pass is given back.
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
