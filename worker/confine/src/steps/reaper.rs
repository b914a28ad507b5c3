//! The two processes that wait: the launcher's outer half, for the end of the sandbox or of the
//! worker, and inside the sandbox the first process of the PID namespace.
//!
//! They keep the promise that everything that a run starts ends with it. With a PID namespace the
//! kernel keeps it: when the first process of the namespace ends, the kernel kills all others, and
//! reports that end only then. Without one, the outer half is the subreaper, so it becomes the
//! parent of every orphan, and it kills until none is left.

use std::os::fd::AsFd as _;

use dreamcore_wire::control::{Failure, Message, Step};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::StepResult;
use super::control::Control;

/// Blocks SIGCHLD and opens a descriptor that reports it. Called before the fork, so that no end of
/// a child is missed.
///
/// Without a PID namespace this process also becomes a subreaper. With one it must not: newer
/// gVisor gives the orphans of a namespace that ended to a subreaper outside, if there is one,
/// instead of killing them. Older gVisor has no subreapers.
pub(crate) fn prepare(pid_namespace: bool) -> StepResult<SignalFd> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&mask), None).map_err(Failure::at(Step::Signals))?;
    if !pid_namespace {
        nix::sys::prctl::set_child_subreaper(true).map_err(Failure::at(Step::Signals))?;
    }
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(Failure::at(Step::Signals))
}

/// Waits until `first` ends or the worker closes its end of the control socket, then kills every
/// process that is left, and reports the exit code.
pub(crate) fn watch(control: &Control, signals: &SignalFd, first: Pid) -> StepResult {
    let mut code = None;
    while code.is_none() {
        let mut fds = [
            PollFd::new(control.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(Failure::at(Step::Watch)(error)),
        }
        let worker_gone = fds.first().and_then(PollFd::any).unwrap_or(false);
        while signals.read_signal().map_err(Failure::at(Step::Watch))?.is_some() {}
        code = reap_until(first)?;
        if worker_gone && code.is_none() {
            kill(first, Signal::SIGKILL).map_err(Failure::at(Step::Watch))?;
            code = wait_for(first)?;
        }
    }
    end_descendants(control, code)?;
    let code = code.unwrap_or(128 + Signal::SIGKILL as i32);
    // The worker may have ended. Then no process is left that could read the report.
    match control.send(&Message::Exited { code }) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::at(Step::Report)(error)),
    }
}

/// Collects every child that has ended. Returns the exit code of `first` if it is among them.
fn reap_until(first: Pid) -> StepResult<Option<i32>> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(code),
            Ok(status) => code = code.or(exit_code_of(first, status)),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(Failure::at(Step::Watch)(error)),
        }
    }
}

fn wait_for(first: Pid) -> StepResult<Option<i32>> {
    loop {
        match waitpid(first, Some(WaitPidFlag::__WALL)) {
            Ok(status) => {
                if let Some(code) = exit_code_of(first, status) {
                    return Ok(Some(code));
                }
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(Failure::at(Step::Watch)(error)),
        }
    }
}

fn exit_code_of(first: Pid, status: WaitStatus) -> Option<i32> {
    match status {
        WaitStatus::Exited(pid, code) if pid == first => Some(code),
        WaitStatus::Signaled(pid, signal, _) if pid == first => Some(128 + signal as i32),
        _ => None,
    }
}

/// Kills every descendant of this process, in rounds until none is left. A process that forks
/// during a round is found in the next one, because its orphan becomes a child of this process.
fn end_descendants(control: &Control, code: Option<i32>) -> StepResult {
    let mut descendants = descendants_of(std::process::id().cast_signed());
    if !descendants.is_empty() {
        report_remaining(control, code, descendants.len());
    }
    loop {
        for pid in descendants {
            match kill(pid, Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(Failure::at(Step::Watch)(error)),
            }
        }
        match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Err(Errno::ECHILD) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(Failure::at(Step::Watch)(error)),
        }
        descendants = descendants_of(std::process::id().cast_signed());
    }
}

/// Tells the worker how many processes the program has left, if the program failed: it may have
/// failed because there were as many as the kernel allows. The worker cannot count them itself,
/// because they are gone when it learns of the end.
fn report_remaining(control: &Control, code: Option<i32>, processes: usize) {
    if code != Some(0) {
        let processes = u64::try_from(processes).unwrap_or(u64::MAX);
        // The worker may have ended, and the processes have to be ended all the same.
        drop(control.send(&Message::Remaining { processes }));
    }
}

/// Every process whose chain of parents leads to `ancestor`. Empty where `/proc` cannot be read:
/// the caller then waits until the children end by themselves or the worker kills this process.
pub(crate) fn descendants_of(ancestor: i32) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let parents: std::collections::HashMap<i32, i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| Some((pid, parent_of(pid)?)))
        .collect();
    let leads_here = |mut pid: i32| {
        // The number of steps is bounded, because a snapshot of `/proc` might contain a cycle.
        for _ in 0..parents.len() {
            match parents.get(&pid) {
                Some(parent) if *parent == ancestor => return true,
                Some(parent) => pid = *parent,
                None => return false,
            }
        }
        false
    };
    parents.keys().copied().filter(|pid| leads_here(*pid)).map(Pid::from_raw).collect()
}

/// The parent of a process, from `/proc/PID/stat`. The fields are counted from the last `)`,
/// because the name in parentheses may contain any character.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.iter().rposition(|b| *b == b')')? + 1;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The work of the first process of a PID namespace: collects orphans until `program` ends, and
/// returns its exit code. When this process then ends, the kernel kills all others in the
/// namespace. `own_proc` says whether `/proc` shows this namespace.
pub(crate) fn init(control: &Control, program: Pid, own_proc: bool) -> StepResult<i32> {
    super::descriptors::release_standard().map_err(Failure::at(Step::Init))?;
    // If a process inside could trace this one, it could keep the namespace alive.
    nix::sys::prctl::set_dumpable(false).map_err(Failure::at(Step::Init))?;
    loop {
        match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(status) => {
                if let Some(code) = exit_code_of(program, status) {
                    if own_proc {
                        report_remaining(control, Some(code), others_in_namespace());
                    }
                    return Ok(code);
                }
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(Failure::at(Step::Watch)(error)),
        }
    }
}

/// The number of processes in this PID namespace, without its first one. 0 if `/proc` cannot be
/// read.
fn others_in_namespace() -> usize {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return 0;
    };
    let pid = |name: std::ffi::OsString| name.to_str()?.parse::<u32>().ok();
    let pids = entries.filter_map(|entry| pid(entry.ok()?.file_name()));
    pids.filter(|pid| *pid != std::process::id()).count()
}
