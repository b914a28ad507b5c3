//! A user namespace for a sandbox that root starts.
//!
//! The limit on processes counts per user, and every sandbox has the same one: without this, a fork
//! bomb in one would leave no process for another. In a user namespace of its own each sandbox is
//! counted by itself, and capabilities, should it ever get any, would be worth nothing outside.
//!
//! Only a process outside may write a map with a user other than its own, so the two halves of the
//! launcher talk: the inner one enters, the outer one writes the maps.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use dreamcore_wire::control::{Failure, Step};
use dreamcore_wire::plan::{Identity, Mechanism};
use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use super::StepResult;

const ENTERED: u8 = b'e';
const MAPPED: u8 = b'm';

/// The outer half. It holds the machine's `/proc`, because its own root changes with the inner
/// half's.
pub(crate) struct Mapper {
    proc: OwnedFd,
    peer: UnixStream,
}

/// The inner half.
pub(crate) struct Entrant(UnixStream);

/// Makes both halves; before the split.
pub(crate) fn prepare() -> StepResult<(Mapper, Entrant)> {
    let (outer, inner) =
        UnixStream::pair().map_err(Failure::at(Step::Mechanism(Mechanism::UserNamespace)))?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let proc = nix::fcntl::open("/proc", flags, Mode::empty());
    let proc = proc.map_err(Failure::at(Step::Mechanism(Mechanism::UserNamespace)))?;
    Ok((Mapper { proc, peer: outer }, Entrant(inner)))
}

impl Mapper {
    /// Waits until `inner` has entered, and maps `identity` to itself. An inner half that ends, or
    /// that does not enter, is no error here: it says so itself.
    pub(crate) fn serve(mut self, inner: Pid, identity: Identity) {
        let mut word = [0];
        if self.peer.read_exact(&mut word).is_err() || word != [ENTERED] {
            return;
        }
        let Identity { uid, gid } = identity;
        let mapped = self.write(inner, "gid_map", &format!("{gid} {gid} 1\n"));
        let mapped =
            mapped.and_then(|()| self.write(inner, "uid_map", &format!("{uid} {uid} 1\n")));
        if mapped.is_ok() {
            // The inner half waits for this or for the end of the socket.
            self.peer.write_all(&[MAPPED]).unwrap_or_default();
        }
    }

    fn write(&self, inner: Pid, name: &str, map: &str) -> std::io::Result<()> {
        let path = format!("{inner}/{name}");
        let file =
            openat(&self.proc, path.as_str(), OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        // The kernel takes a map in one write or not at all.
        File::from(file).write_all(map.as_bytes())
    }
}

impl Entrant {
    /// Enters a user namespace and waits until the maps are written.
    pub(crate) fn enter(mut self, identity: Identity) -> Result<String, String> {
        unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| errno.to_string())?;
        let mut word = [0];
        let mapped = self.0.write_all(&[ENTERED]).and_then(|()| self.0.read_exact(&mut word));
        match mapped {
            Ok(()) if word == [MAPPED] => {
                Ok(format!("of its own, with uid {} and gid {} only", identity.uid, identity.gid))
            }
            _ => Err("the maps could not be written".to_owned()),
        }
    }
}
