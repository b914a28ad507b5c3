//! Attacks on the machine's resources.
#![allow(unsafe_code, reason = "fork has no safe interface")]

use std::fs;
use std::io;

use dreamcore_wire::attack::Report;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::{ForkResult, fork};

use super::report;

const FILE: &str = "probe-large";

pub(super) fn grow_file(bytes: u64) -> Report {
    // The kernel sends SIGXFSZ along with the refusal, and by default it would end the probe.
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: ignoring a signal runs no code of this program.
    unsafe { sigaction(Signal::SIGXFSZ, &ignore) }.map(drop).unwrap_or_default();
    let grown = fs::File::create(FILE).and_then(|file| file.set_len(bytes));
    fs::remove_file(FILE).unwrap_or_default();
    report(grown, |()| format!("{bytes} bytes"))
}

pub(super) fn start_processes(count: u32) -> Report {
    let mut children = Vec::new();
    let mut refusal = None;
    for _ in 0..count {
        // SAFETY: this program is single-threaded.
        match unsafe { fork() } {
            Ok(ForkResult::Parent { child }) => children.push(child),
            Ok(ForkResult::Child) => loop {
                nix::unistd::pause();
            },
            Err(errno) => {
                refusal = Some(io::Error::from(errno));
                break;
            }
        }
    }
    for child in &children {
        kill(*child, Signal::SIGKILL).unwrap_or_default();
        nix::sys::wait::waitpid(*child, None).map(drop).unwrap_or_default();
    }
    let started = refusal.map_or(Ok(()), Err);
    report(started, |()| format!("{count} processes"))
}

pub(super) fn open_files(count: u32) -> Report {
    let opened: io::Result<Vec<_>> = (0..count).map(|_| fs::File::open("/dev/null")).collect();
    report(opened, |files| format!("{} files", files.len()))
}

pub(super) fn take_memory(bytes: u64) -> Report {
    const PAGE: usize = 4096;
    let mut taken: Vec<u8> = Vec::new();
    let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
    if taken.try_reserve_exact(wanted).is_err() {
        return Report::nothing("the memory was not given");
    }
    taken.resize(wanted, 1);
    let sum: usize = taken.iter().step_by(PAGE).map(|byte| usize::from(*byte)).sum();
    Report::succeeded(format!("{sum} pages"))
}
