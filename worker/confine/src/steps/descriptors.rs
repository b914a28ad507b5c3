//! Descriptors: the launcher keeps standard input, output and error and its control socket. Every
//! other descriptor that it inherited is closed before the plan is read.

use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd};

use dreamcore_wire::control::{CONTROL_FD, Failure, Step};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::StepResult;

/// Takes ownership of the control socket, marks it close-on-exec and closes everything above it.
#[allow(unsafe_code, reason = "owning an inherited descriptor and close_range have no safe form")]
pub(crate) fn take_control() -> StepResult<OwnedFd> {
    let first_other = CONTROL_FD.cast_unsigned() + 1;
    // SAFETY: nothing has been opened yet, this is the first call of a single-threaded program, so
    // no value in this process owns a descriptor above CONTROL_FD.
    let closed = unsafe { libc::close_range(first_other, libc::c_uint::MAX, 0) };
    if closed == -1 {
        close_by_list(first_other).map_err(Failure::at(Step::Descriptors))?;
    }
    // SAFETY: the descriptor is only borrowed for this call, which fails if it is not open.
    let control = unsafe { BorrowedFd::borrow_raw(CONTROL_FD) };
    fcntl(control, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|_| {
        Failure::at(Step::Descriptors)(
            "descriptor 3 is not open: dreamcore-confine is started by dreamcore-worker, not by hand",
        )
    })?;
    // SAFETY: it is open (the call above succeeded) and nothing else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(CONTROL_FD) })
}

/// For kernels without `close_range`: closes every number that this process could have open.
#[allow(unsafe_code, reason = "closing descriptors that no value owns has no safe form")]
fn close_by_list(first: u32) -> nix::Result<()> {
    let (limit, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    // A descriptor above the present limit can exist if the limit was lowered after it was opened.
    // The kernel's default for the largest limit is 2^20.
    let last = i32::try_from(limit.min(1 << 20)).map_err(|_| Errno::EOVERFLOW)?;
    for fd in first.cast_signed()..last {
        // SAFETY: as in `take_control`: no value in this process owns this descriptor. EBADF for
        // numbers that are not open is expected.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Points standard input, output and error at `/dev/null`, so that a process which only waits does
/// not keep the pipes of the confined program open.
pub(crate) fn release_standard() -> nix::Result<()> {
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)
}
