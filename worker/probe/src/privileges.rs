//! Attacks on privileges.
#![allow(unsafe_code, reason = "attacks are system calls that no safe interface offers")]

use std::io;
use std::path::Path;
use std::process::Command;

use dreamcore_wire::attack::{Part, Report, RunsAs};
use dreamcore_wire::line;
use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;
use nix::unistd::{ForkResult, Uid, fork};

use super::report;

pub(super) fn become_root() -> Report {
    let root = Uid::from_raw(0);
    report(nix::unistd::setresuid(root, root, root).map_err(io::Error::from), |()| {
        "this is root".to_owned()
    })
}

pub(super) fn run_setuid(path: &Path) -> Report {
    let output = match Command::new(path).arg(Part::WhoAmI.arg()).output() {
        Ok(output) => output,
        Err(error) => return Report::refused(&error),
    };
    match line::decode(&output.stdout) {
        Ok(RunsAs(0)) => Report::succeeded("it ran as root"),
        _ => Report::nothing("it ran, but not as root"),
    }
}

pub(super) fn user_namespace() -> Report {
    // In a child, because the attacks that follow must not run inside the new namespace.
    in_child(|| nix::sched::unshare(CloneFlags::CLONE_NEWUSER), "made")
}

pub(super) fn mount() -> Report {
    let none: Option<&str> = None;
    let mounted = nix::mount::mount(Some("none"), "/tmp", Some("tmpfs"), MsFlags::empty(), none);
    if mounted.is_ok() {
        nix::mount::umount2("/tmp", MntFlags::MNT_DETACH).unwrap_or_default();
    }
    report(mounted.map_err(io::Error::from), |()| "mounted".to_owned())
}

/// Makes a system call with arguments that no call accepts: invalid pointers, descriptors and
/// commands. EPERM and ENOSYS mean that the sandbox refuses the call. Any other error comes from
/// the call itself, so the call can be reached.
pub(super) fn system_call(number: i64) -> Report {
    // SAFETY: -1 is no valid pointer, descriptor, flag set or command, so the kernel changes
    // nothing in this process.
    let result = unsafe { libc::syscall(number, -1, -1, -1, -1, -1, -1) };
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EPERM | libc::ENOSYS) if result == -1 => Report::refused(&error),
        _ if result == -1 => Report::succeeded(format!("the kernel looked at it: {error}")),
        _ => Report::succeeded("done"),
    }
}

fn in_child(attempt: impl FnOnce() -> nix::Result<()>, detail: &str) -> Report {
    // SAFETY: this program is single-threaded.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let code = attempt().err().map_or(0, |errno| errno as i32);
            // SAFETY: ends the child without the parent's cleanup.
            unsafe { libc::_exit(code) }
        }
        Ok(ForkResult::Parent { child }) => match nix::sys::wait::waitpid(child, None) {
            Ok(nix::sys::wait::WaitStatus::Exited(_, 0)) => Report::succeeded(detail),
            Ok(nix::sys::wait::WaitStatus::Exited(_, code)) => {
                Report::refused(&io::Error::from_raw_os_error(code))
            }
            _ => Report::nothing("the attempt was killed"),
        },
        Err(errno) => Report::refused(&errno.into()),
    }
}
