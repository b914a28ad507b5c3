//! Attacks on the network.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};
use std::path::Path;
use std::time::Duration;

use dreamcore_wire::attack::Report;

use super::report;

/// How long a connection may take. A refusal comes at once, but an address that drops packets
/// answers never, and must not delay the other attacks.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) fn tcp_connect(address: SocketAddr) -> Report {
    report(TcpStream::connect_timeout(&address, CONNECT_TIMEOUT), |_| "connected".to_owned())
}

pub(super) fn tcp_listen(address: SocketAddr) -> Report {
    report(TcpListener::bind(address), |_| "listening".to_owned())
}

pub(super) fn udp_send(address: SocketAddr) -> Report {
    let sent = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.send_to(b"dreamcore-probe", address));
    report(sent, |bytes| format!("{bytes} bytes sent"))
}

pub(super) fn unix_connect(path: &Path) -> Report {
    report(UnixStream::connect(path), |_| "connected".to_owned())
}

pub(super) fn abstract_connect(name: &str) -> Report {
    let connected = UnixAddr::from_abstract_name(name).and_then(|a| UnixStream::connect_addr(&a));
    report(connected, |_| "connected".to_owned())
}

#[allow(unsafe_code, reason = "sockets of unusual kinds have no safe interface")]
pub(super) fn socket(family: i32, kind: i32, protocol: i32) -> Report {
    // SAFETY: a plain system call; the descriptor, if there is one, is closed below.
    let fd = unsafe { libc::socket(family, kind, protocol) };
    if fd == -1 {
        return Report::refused(&io::Error::last_os_error());
    }
    // SAFETY: the descriptor was opened above, and no other value owns it.
    unsafe { libc::close(fd) };
    Report::succeeded("opened")
}
