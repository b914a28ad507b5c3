//! Attacks on other processes.
#![allow(unsafe_code, reason = "attacks are system calls that no safe interface offers")]

use std::fs;
use std::io;

use dreamcore_wire::attack::{Report, VictimSays};
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid, fork, getppid, setsid};

use super::files::pids;
use super::{answer, report};

pub(super) fn find_in_proc(text: &str) -> Report {
    for pid in pids() {
        // This program reads the text from standard input, so its own files do not contain it.
        for file in ["environ", "cmdline"] {
            let content = fs::read(pid.join(file)).unwrap_or_default();
            if content.windows(text.len().max(1)).any(|part| part == text.as_bytes()) {
                return Report::succeeded(format!("found in {}", pid.join(file).display()));
            }
        }
    }
    Report::nothing("it is in no environment or command line")
}

pub(super) fn open_memory() -> Report {
    let own = std::process::id().to_string();
    let mut last = Report::nothing("no other process can be seen");
    for pid in pids().into_iter().filter(|pid| !pid.ends_with(&own)) {
        let found = report(fs::File::open(pid.join("mem")), |_| format!("{}", pid.display()));
        if !found.denied {
            return found;
        }
        last = found;
    }
    last
}

pub(super) fn trace(pid: i32) -> Report {
    let mut last = Report::nothing("nobody to trace");
    for target in [Pid::from_raw(pid), getppid(), Pid::from_raw(1)] {
        match nix::sys::ptrace::attach(target) {
            Ok(()) => {
                nix::sys::ptrace::detach(target, None).unwrap_or_default();
                return Report::succeeded(format!("attached to {target}"));
            }
            Err(errno) => last = Report::refused(&errno.into()),
        }
    }
    last
}

pub(super) fn read_memory(pid: i32) -> Report {
    let mut buffer = [0_u8; 8];
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: 0x40_0000 as *mut libc::c_void, iov_len: buffer.len() };
    // SAFETY: the one local vector points to a live buffer of its length, and only the kernel uses
    // the remote address.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    let error = io::Error::last_os_error();
    match read {
        // EFAULT: nothing is mapped at that address, but the kernel allowed reading the process.
        -1 if error.raw_os_error() == Some(libc::EFAULT) => Report::succeeded("readable"),
        -1 => Report::refused(&error),
        _ => Report::succeeded("readable"),
    }
}

pub(super) fn signal(pid: i32) -> Report {
    let sent = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGWINCH);
    report(sent.map_err(io::Error::from), |()| "sent".to_owned())
}

/// Waits for SIGWINCH for as long as standard input is open, and reports its arrival.
pub(super) fn wait_for_signal() -> io::Result<()> {
    use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
    use nix::sys::signalfd::SignalFd;
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGWINCH);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&mask), None)?;
    let signals = SignalFd::new(&mask)?;
    answer(&VictimSays::Waiting)?;
    signals.read_signal()?;
    answer(&VictimSays::Signalled)
}

/// Forks twice, leaves session and parent, and sleeps with standard output open.
pub(super) fn outlive() -> Report {
    // SAFETY: this program is single-threaded.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => {
            nix::sys::wait::waitpid(child, None).map(drop).unwrap_or_default();
            Report::succeeded("a process was left behind")
        }
        Ok(ForkResult::Child) => {
            setsid().map(drop).unwrap_or_default();
            // SAFETY: as above.
            if let Ok(ForkResult::Child) = unsafe { fork() } {
                // Longer than any self-test takes. Where the confinement is missing, the process
                // ends by itself after that.
                nix::unistd::sleep(60);
            }
            // SAFETY: ends this process without the other half's cleanup.
            unsafe { libc::_exit(0) }
        }
        Err(errno) => Report::refused(&errno.into()),
    }
}
