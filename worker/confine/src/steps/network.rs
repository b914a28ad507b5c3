//! The network of the sandbox: a loopback interface of its own, with one listener that the launcher
//! hands to the worker. The sandbox can reach no other address, so no packet filter is needed.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd as _, AsRawFd as _};

use dreamcore_wire::control::{Failure, Step};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::StepResult;
use super::control::Control;

/// Sets loopback up and opens the listener for the broker on `port`.
pub(crate) fn open_broker_listener(control: &Control, port: u16) -> StepResult {
    bring_loopback_up()?;
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(Failure::at(Step::Listener))?;
    control.send_listener(listener.as_fd()).map_err(Failure::at(Step::Listener))
}

/// Sets the interface `lo` up. In gVisor it is up already, and the call fails with ENOTTY.
#[allow(unsafe_code, reason = "the ioctls of network interfaces have no safe form")]
fn bring_loopback_up() -> StepResult {
    let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .map_err(Failure::at(Step::Listener))?;
    // SAFETY: ifreq is a plain C struct for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags = i16::try_from(flags).map_err(Failure::at(Step::Listener))?;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which lives until the call returns.
    let result = unsafe { libc::ioctl(any.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    match Errno::result(result) {
        Ok(_) | Err(Errno::ENOTTY) => Ok(()),
        Err(error) => Err(Failure::at(Step::Listener)(error)),
    }
}
