//! The watch: measures how much of the machine runs use, and reports runs that use too much.
//!
//! One thread measures all runs, because it must not depend on the runtime that serves requests.
//! Twenty times per second it checks what is cheap to check: the free space of the disk. It
//! measures processes and files less often: it spends at most a twentieth of the time on each,
//! except that it measures at once when a disk fills quickly.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::failure::Failure;
use crate::api::ErrorCode;
use crate::safe_fs::{Dir, Space};
use crate::sandbox::usage::Members;

/// How often the free space of the disk is checked.
const TICK: Duration = Duration::from_millis(50);
/// The shortest time between two measurements of a run's processes, and of its files.
const PROCESSES_EVERY: Duration = Duration::from_millis(100);
const FILES_EVERY: Duration = Duration::from_millis(500);
/// A measurement may take at most one part in this many of the time.
const SPARING: u32 = 20;
/// The largest number of files and folders of one run. A package manager makes tens of thousands.
const MAX_ENTRIES: u64 = 200_000;
/// How long removing the files of a run that was ended may take, before another run is ended for
/// the lack of space.
const GIVING_BACK: Duration = Duration::from_secs(1);

/// How much one run may use, and how much of the disk must stay free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The memory of all processes together, in bytes.
    pub memory_bytes: u64,
    /// The number of processes and threads.
    pub processes: u64,
    /// The space on the scratch disk, in bytes.
    pub disk_bytes: u64,
    /// The space that must stay free on the scratch disk, in bytes.
    pub disk_reserve_bytes: u64,
}

/// What a run used too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// Memory. The number is the limit in bytes.
    Memory(u64),
    /// Processes and threads. The number is the limit.
    Processes(u64),
    /// Space on the disk. The number is the limit in bytes.
    Disk(u64),
    /// The number of files, or the depth of folders.
    Names,
    /// The disk was nearly full, and this run had the most data on it.
    Reserve,
}

impl From<Excess> for Failure {
    fn from(excess: Excess) -> Self {
        let message = match excess {
            Excess::Memory(bytes) => format!("memory: the run took more than {bytes} bytes"),
            Excess::Processes(count) => format!("processes: the run wanted more than {count}"),
            Excess::Disk(bytes) => format!("disk: the run wrote more than {bytes} bytes"),
            Excess::Names => {
                format!("disk: the run made more than {MAX_ENTRIES} files, or folders too deep")
            }
            Excess::Reserve => "disk: the run left too little free space".to_owned(),
        };
        Self::new(ErrorCode::ResourceLimit, message)
    }
}

/// The handle with which runs are put under watch. The thread ends when it is dropped.
#[derive(Debug)]
pub struct Guard(Sender<Run>);

/// One run under watch. The watch of it ends when the receiver of `tell` is dropped.
#[derive(Debug)]
struct Run {
    members: Members,
    folder: Dir,
    tell: Option<oneshot::Sender<Excess>>,
    processes_due: Instant,
    files_due: Instant,
    /// The free space of the disk when the files were last measured.
    space_then: Option<Space>,
    named: u64,
    unnamed: u64,
}

impl Guard {
    /// Starts the thread.
    pub fn start(allowance: Allowance) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        std::thread::Builder::new()
            .name("guard".to_owned())
            .spawn(move || watch(&receiver, allowance))?;
        Ok(Self(sender))
    }

    /// Watches a run until the returned receiver is dropped. If the run uses too much, the receiver
    /// gets the reason.
    pub fn watch(&self, members: Members, folder: Dir) -> oneshot::Receiver<Excess> {
        let (tell, told) = oneshot::channel();
        let now = Instant::now();
        let run = Run {
            members,
            folder,
            tell: Some(tell),
            processes_due: now,
            files_due: now,
            space_then: None,
            named: 0,
            unnamed: 0,
        };
        // The thread lives as long as `self`. If it has ended all the same, the receiver reports
        // that to the run.
        drop(self.0.send(run));
        told
    }
}

fn watch(new: &Receiver<Run>, allowance: Allowance) {
    let mut runs: Vec<Run> = Vec::new();
    let mut blame_from = Instant::now();
    loop {
        let arrived = if runs.is_empty() {
            new.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            new.recv_timeout(TICK)
        };
        match arrived {
            Ok(run) => runs.push(run),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        runs.retain(|run| run.tell.as_ref().is_some_and(|tell| !tell.is_closed()));
        for run in &mut runs {
            if let Some(excess) = run.look(allowance) {
                run.end(excess);
            }
        }
        let low = runs.iter().any(|run| {
            run.folder.space().is_ok_and(|space| space.is_low(allowance.disk_reserve_bytes))
        });
        if low && Instant::now() >= blame_from {
            for run in &mut runs {
                run.measure_files(allowance, None);
            }
            if let Some(run) = runs.iter_mut().max_by_key(|run| run.named + run.unnamed) {
                run.end(Excess::Reserve);
                blame_from = Instant::now() + GIVING_BACK;
            }
        }
    }
}

impl Run {
    fn end(&mut self, excess: Excess) {
        if let Some(tell) = self.tell.take() {
            tracing::warn!(?excess, "a run took too much");
            // An error means that the run has just ended by itself.
            tell.send(excess).unwrap_or_default();
        }
    }

    fn look(&mut self, allowance: Allowance) -> Option<Excess> {
        let now = Instant::now();
        let mut excess = None;
        if now >= self.processes_due {
            let usage = self.members.usage(allowance.memory_bytes);
            self.processes_due = Instant::now() + PROCESSES_EVERY.max(now.elapsed() * SPARING);
            self.unnamed = usage.unnamed;
            if usage.memory > allowance.memory_bytes {
                excess = Some(Excess::Memory(allowance.memory_bytes));
            } else if usage.processes > allowance.processes {
                excess = Some(Excess::Processes(allowance.processes));
            }
        }
        let space = self.folder.space().ok();
        if excess.is_none() && (now >= self.files_due || self.fills_quickly(space, allowance)) {
            excess = self.measure_files(allowance, space);
        }
        excess
    }

    /// Whether so much was written to the disk since the last measurement, by any program, that
    /// this run could be at its limit.
    fn fills_quickly(&self, now: Option<Space>, allowance: Allowance) -> bool {
        let Some((now, then)) = now.zip(self.space_then) else {
            return false;
        };
        let left = allowance.disk_bytes.saturating_sub(self.named + self.unnamed);
        then.free.saturating_sub(now.free) > left / 2
            || then.free_files.saturating_sub(now.free_files) > MAX_ENTRIES / 4
    }

    fn measure_files(&mut self, allowance: Allowance, space: Option<Space>) -> Option<Excess> {
        let began = Instant::now();
        let allowed = allowance.disk_bytes.saturating_sub(self.unnamed);
        let found = self.folder.disk_use(|found| {
            found.bytes > allowed || found.entries > MAX_ENTRIES || found.too_deep
        });
        self.files_due = Instant::now() + FILES_EVERY.max(began.elapsed() * SPARING);
        self.space_then = space;
        self.named = found.bytes;
        if found.bytes > allowed {
            Some(Excess::Disk(allowance.disk_bytes))
        } else {
            (found.entries > MAX_ENTRIES || found.too_deep).then_some(Excess::Names)
        }
    }
}
