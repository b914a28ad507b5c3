//! Attacks on the memory behind pipes and sockets, which belongs to no process.
#![allow(unsafe_code, reason = "nix cannot ask for a size that a kernel would refuse")]

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixDatagram;

use dreamcore_wire::attack::Report;

use super::report;

pub(super) fn open_pipes(count: u32) -> Report {
    let opened: io::Result<Vec<_>> = (0..count).map(|_| used_pipe()).collect();
    report(opened, |pipes| format!("{} pipes", pipes.len()))
}

/// A pipe that still holds data after some was read from it, so that the kernel has given it
/// memory.
fn used_pipe() -> io::Result<(io::PipeReader, io::PipeWriter)> {
    let (mut reader, mut writer) = io::pipe()?;
    writer.write_all(b"something")?;
    reader.read_exact(&mut [0; 4])?;
    Ok((reader, writer))
}

pub(super) fn widen_pipe(bytes: u32) -> Report {
    let widened = io::pipe().and_then(|(reader, _writer)| {
        let size = libc::c_ulong::from(bytes);
        // SAFETY: the descriptor is open, and the argument is a number.
        let held = unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETPIPE_SZ, size) };
        if held < 0 { Err(io::Error::last_os_error()) } else { Ok(held) }
    });
    report(widened, |held| format!("{held} bytes"))
}

pub(super) fn widen_socket(option: i32, bytes: u32) -> Report {
    let widened = UnixDatagram::unbound().and_then(|socket| {
        let descriptor = socket.as_raw_fd();
        let before = socket_buffer(descriptor, option)?;
        set_socket_buffer(descriptor, option, bytes)?;
        Ok((before, socket_buffer(descriptor, option)?))
    });
    match widened {
        Ok((before, after)) if after > before => Report::succeeded(format!("{after} bytes")),
        Ok((before, _)) => Report::nothing(format!("it still holds {before} bytes")),
        Err(error) => Report::refused(&error),
    }
}

fn set_socket_buffer(socket: RawFd, option: i32, bytes: u32) -> io::Result<()> {
    // SAFETY: the value is a 32-bit number, its length is passed, and it lives until the call
    // returns.
    let set = unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            option,
            (&raw const bytes).cast(),
            libc::socklen_t::try_from(size_of_val(&bytes)).unwrap_or_default(),
        )
    };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The size of a buffer in bytes. The options that only root may set cannot be read, so the
/// ordinary option is read instead.
fn socket_buffer(socket: RawFd, option: i32) -> io::Result<u32> {
    let option = match option {
        libc::SO_SNDBUFFORCE => libc::SO_SNDBUF,
        libc::SO_RCVBUFFORCE => libc::SO_RCVBUF,
        other => other,
    };
    let mut bytes = 0_u32;
    let mut length = libc::socklen_t::try_from(size_of_val(&bytes)).unwrap_or_default();
    // SAFETY: the value has the length that is passed, and both live until the call returns.
    let got = unsafe {
        libc::getsockopt(socket, libc::SOL_SOCKET, option, (&raw mut bytes).cast(), &raw mut length)
    };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(bytes) }
}
