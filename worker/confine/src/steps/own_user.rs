//! A user namespace for a sandbox that root starts.
//!
//! The kernel counts processes per user, and all sandboxes have the same user: a fork bomb in one
//! sandbox would leave no process for the others. In a user namespace of its own, the processes of
//! each sandbox are counted by themselves, and any capability that it might get would be worth
//! nothing outside.
//!
//! Only a process outside the namespace may write a map with a user other than its own. So the two
//! halves of the launcher work together: the inner one enters, and the outer one writes the maps.

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

/// The outer half's side. It holds the machine's `/proc` open, because `pivot_root` in the inner
/// half changes the root of the outer half too: both are in the same mount namespace.
pub(crate) struct Mapper {
    proc: OwnedFd,
    peer: UnixStream,
}

/// The inner half's side.
pub(crate) struct Entrant(UnixStream);

/// Makes both sides. Called before the launcher forks.
pub(crate) fn prepare() -> StepResult<(Mapper, Entrant)> {
    let (outer, inner) =
        UnixStream::pair().map_err(Failure::at(Step::Mechanism(Mechanism::UserNamespace)))?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let proc = nix::fcntl::open("/proc", flags, Mode::empty());
    let proc = proc.map_err(Failure::at(Step::Mechanism(Mechanism::UserNamespace)))?;
    Ok((Mapper { proc, peer: outer }, Entrant(inner)))
}

impl Mapper {
    /// Waits until `inner` has entered, and maps `identity` to itself. If the inner half ends or
    /// does not enter, that is not an error here, because the inner half reports it.
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
            // The inner half waits for this byte, or for the socket to close.
            self.peer.write_all(&[MAPPED]).unwrap_or_default();
        }
    }

    fn write(&self, inner: Pid, name: &str, map: &str) -> std::io::Result<()> {
        let path = format!("{inner}/{name}");
        let file =
            openat(&self.proc, path.as_str(), OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        // A single call, because the kernel accepts a map only whole.
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
