//! Watches what runs take of the machine, and says which must end.
//!
//! One thread for all runs, because it must not depend on the runtime that serves requests. It
//! looks twenty times a second at what is cheap (what the disk has left, whether the kernel killed
//! something) and less often at what costs: it never spends more than a twentieth of its time on
//! one of them, except that a disk that fills quickly is measured at once.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::failure::Failure;
use crate::api::ErrorCode;
use crate::safe_fs::{Dir, Space};
use crate::sandbox::usage::Members;

/// How often the cheap things are looked at.
const TICK: Duration = Duration::from_millis(50);
/// Shortest time between two looks at the processes of a run, and at its files.
const PROCESSES_EVERY: Duration = Duration::from_millis(100);
const FILES_EVERY: Duration = Duration::from_millis(500);
/// A look may take one part in so many of the time.
const SPARING: u32 = 20;
/// Names of files and folders of one run; a package manager makes some tens of thousands.
const MAX_ENTRIES: u64 = 200_000;
/// How long the files of a run that was ended may take to go, before the next one is blamed.
const GIVING_BACK: Duration = Duration::from_secs(1);

/// What one run may take, and what must be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Memory of all processes together, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Bytes on the scratch disk.
    pub disk_bytes: u64,
    /// Bytes that must be left on the scratch disk.
    pub disk_reserve_bytes: u64,
}

/// What a run took too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// Memory, in bytes allowed.
    Memory(u64),
    /// Processes and threads allowed.
    Processes(u64),
    /// Bytes on disk allowed.
    Disk(u64),
    /// Files on disk, or folders in folders.
    Names,
    /// The disk was nearly full, and this run had the most on it.
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

/// Where runs are given into its care. The thread ends with it.
#[derive(Debug)]
pub struct Guard(Sender<Run>);

/// One run under watch. The watch ends when the other end of `tell` is dropped.
#[derive(Debug)]
struct Run {
    members: Members,
    folder: Dir,
    tell: Option<oneshot::Sender<Excess>>,
    processes_due: Instant,
    files_due: Instant,
    /// What the disk had left when the files were last looked at.
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

    /// Watches a run until the receiver is dropped, to which is said what it took too much of.
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
        // The thread lives as long as this does; should it not, the run hears that its watch ended.
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
            // It may have ended by itself just now.
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

    /// Whether so much was written since the last look, by whomever, that this run could be at its
    /// limit.
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
