//! One run under watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::effort::Effort;
use super::excess::{Allowance, Excess, MAX_ENTRIES};
use crate::safe_fs::{Dir, Space};
use crate::sandbox::usage::{Members, Usage};

/// The shortest time between two measurements of a run's processes, and of its files.
const PROCESSES_EVERY: Duration = Duration::from_millis(100);
const FILES_EVERY: Duration = Duration::from_millis(500);

/// One run under watch. The watch of it ends when the receiver of `tell` is dropped.
#[derive(Debug)]
pub(super) struct Watched {
    members: Members,
    folder: Dir,
    tell: Option<oneshot::Sender<Excess>>,
    was_crowded: Arc<AtomicBool>,
    processes_due: Instant,
    files_due: Instant,
    usage: Usage,
    /// The free space of the disk when the files were last measured.
    space_then: Option<Space>,
    named: u64,
}

impl Watched {
    pub(super) fn new(
        members: Members,
        folder: Dir,
        tell: oneshot::Sender<Excess>,
        was_crowded: Arc<AtomicBool>,
    ) -> Self {
        let now = Instant::now();
        Self {
            members,
            folder,
            tell: Some(tell),
            was_crowded,
            processes_due: now,
            files_due: now,
            usage: Usage::default(),
            space_then: None,
            named: 0,
        }
    }

    /// Whether the run still waits for a reason to end.
    pub(super) fn is_under_way(&self) -> bool {
        self.tell.as_ref().is_some_and(|tell| !tell.is_closed())
    }

    /// Tells the run to end, at most once.
    pub(super) fn end(&mut self, excess: Excess) {
        if let Some(tell) = self.tell.take() {
            tracing::warn!(?excess, "a run took too much");
            // An error means that the run has just ended by itself.
            tell.send(excess).unwrap_or_default();
        }
    }

    /// What its processes used when they were last measured.
    pub(super) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// The space that it used on the disk when that was last measured, in bytes.
    pub(super) fn on_disk(&self) -> u64 {
        self.named + self.usage.unnamed
    }

    /// The free space of its disk.
    pub(super) fn space(&self) -> Option<Space> {
        self.folder.space().ok()
    }

    /// Measures what is due.
    pub(super) fn look(&mut self, allowance: &Allowance) -> Option<Excess> {
        let now = Instant::now();
        let mut excess = None;
        if now >= self.processes_due {
            excess = self.measure_processes(allowance);
        }
        let space = self.space();
        if excess.is_none() && (now >= self.files_due || self.fills_quickly(space, allowance)) {
            excess = self.measure_files(allowance, space);
        }
        excess
    }

    fn measure_processes(&mut self, allowance: &Allowance) -> Option<Excess> {
        let effort = Effort::begin();
        let usage = self.members.usage(allowance.memory_bytes, allowance.descriptors());
        self.processes_due = effort.next(PROCESSES_EVERY);
        self.usage = usage;
        if usage.processes >= allowance.crowd() {
            self.was_crowded.store(true, Ordering::Relaxed);
        }
        if usage.memory() > allowance.memory_bytes {
            Some(Excess::Memory(allowance.memory_bytes))
        } else if usage.processes > allowance.processes {
            Some(Excess::Processes(allowance.processes))
        } else {
            let most = allowance.descriptors();
            (usage.descriptors > most).then_some(Excess::Descriptors(most))
        }
    }

    /// Whether so much was written to the disk since the last measurement, by any program, that
    /// this run could be at its limit.
    fn fills_quickly(&self, now: Option<Space>, allowance: &Allowance) -> bool {
        let Some((now, then)) = now.zip(self.space_then) else {
            return false;
        };
        let left = allowance.disk_bytes.saturating_sub(self.on_disk());
        then.free.saturating_sub(now.free) > left / 2
            || then.free_files.saturating_sub(now.free_files) > MAX_ENTRIES / 4
    }

    /// Measures its files. `space` is the free space of the disk.
    pub(super) fn measure_files(
        &mut self,
        allowance: &Allowance,
        space: Option<Space>,
    ) -> Option<Excess> {
        let effort = Effort::begin();
        let allowed = allowance.disk_bytes.saturating_sub(self.usage.unnamed);
        let found = self.folder.disk_use(|found| {
            found.bytes > allowed || found.entries > MAX_ENTRIES || found.too_deep
        });
        self.files_due = effort.next(FILES_EVERY);
        self.space_then = space;
        self.named = found.bytes;
        if found.bytes > allowed {
            Some(Excess::Disk(allowance.disk_bytes))
        } else {
            (found.entries > MAX_ENTRIES || found.too_deep).then_some(Excess::Names)
        }
    }
}
