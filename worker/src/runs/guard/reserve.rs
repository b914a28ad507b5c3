//! What must be left for everybody: of the disk, and of the machine's memory. When too little is,
//! the run with the most ends, and then the next, until there is enough again.

use std::time::{Duration, Instant};

use super::effort::Effort;
use super::excess::{Allowance, Excess};
use super::watched::Watched;
use crate::sandbox::memory::{Machine, sentry_heap};

/// How long what a run had may take to be given back, before the next one is blamed.
const GIVING_BACK: Duration = Duration::from_secs(1);
/// Shortest time between two looks into gVisor's heap.
const HEAP_EVERY: Duration = Duration::from_millis(100);

/// The place of the run that must end, and why.
type Blamed = (usize, Excess);

/// The reserves of what all runs share.
#[derive(Debug)]
pub(super) struct Reserves {
    machine: Machine,
    heap: Heap,
    /// Until then nobody is blamed.
    blame_from: Instant,
}

/// The heap of gVisor's kernel.
#[derive(Debug)]
struct Heap {
    due: Instant,
    /// Bytes that it has without what the runs made it grow by.
    before: u64,
}

impl Reserves {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { machine: Machine::find(), heap: Heap { due: now, before: 0 }, blame_from: now }
    }

    /// To be called when runs begin after a time without any.
    pub(super) fn begin(&mut self) {
        self.heap.before = sentry_heap().unwrap_or_default();
    }

    /// To be called when a run has ended or must end: what it had is still missing for a moment,
    /// and no other run is blamed for that. gVisor's heap shrinks only when its garbage is collected.
    pub(super) fn wait_for_what_is_given_back(&mut self) {
        self.blame_from = Instant::now() + GIVING_BACK;
        self.heap.before = sentry_heap().unwrap_or_default();
    }

    /// Ends the run that has the most of what is short, one at a time.
    pub(super) fn keep(&mut self, runs: &mut [Watched], allowance: &Allowance) {
        if Instant::now() < self.blame_from {
            return;
        }
        let blamed = disk(runs, allowance)
            .or_else(|| self.memory(runs, allowance))
            .or_else(|| self.heap.look(runs, allowance));
        if let Some((run, excess)) = blamed
            && let Some(run) = runs.get_mut(run)
        {
            run.end(excess);
        }
    }

    fn memory(&self, runs: &[Watched], allowance: &Allowance) -> Option<Blamed> {
        let memory = self.machine.memory()?;
        let is_low = memory.is_low(allowance.memory_reserve_bytes);
        let most = || with_the_most(runs, |run| run.usage().memory());
        is_low.then(most)?.map(|run| (run, Excess::MemoryReserve))
    }
}

impl Heap {
    /// The runs together, with what the heap grew by, may take as much as all of them are allowed.
    /// Whose the heap is cannot be told: the run with the most pipes and sockets is blamed.
    fn look(&mut self, runs: &[Watched], allowance: &Allowance) -> Option<Blamed> {
        if Instant::now() < self.due {
            return None;
        }
        let effort = Effort::begin();
        let Some(heap) = sentry_heap() else {
            // Not in gVisor; and no other kernel becomes one.
            self.due = Instant::now() + Duration::from_hours(1);
            return None;
        };
        self.due = effort.next(HEAP_EVERY);
        self.before = self.before.min(heap);
        let mapped: u64 = runs.iter().map(|run| run.usage().mapped).sum();
        let taken = mapped.saturating_add(heap - self.before);
        let is_too_much = taken > allowance.memory_bytes.saturating_mul(runs.len() as u64);
        let most = || with_the_most(runs, |run| run.usage().buffers);
        is_too_much.then(most)?.map(|run| (run, Excess::Memory(allowance.memory_bytes)))
    }
}

fn disk(runs: &mut [Watched], allowance: &Allowance) -> Option<Blamed> {
    let is_low =
        |run: &Watched| run.space().is_some_and(|space| space.is_low(allowance.disk_reserve_bytes));
    if !runs.iter().any(is_low) {
        return None;
    }
    for run in &mut *runs {
        run.measure_files(allowance, None);
    }
    with_the_most(runs, Watched::on_disk).map(|run| (run, Excess::DiskReserve))
}

/// The place of the run that has the most.
fn with_the_most(runs: &[Watched], of: impl Fn(&Watched) -> u64) -> Option<usize> {
    let most = runs.iter().enumerate().max_by_key(|(_, run)| of(run))?;
    Some(most.0)
}
