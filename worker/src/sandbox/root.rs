//! Taking away what a launcher that was killed left mounted.

use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

/// Takes away a root that was built among everybody's mounts, with all that is mounted in it. Where
/// there is none, nothing happens.
#[expect(clippy::disallowed_methods, reason = "the one place that takes mounts away")]
pub fn release(root: &Path) -> nix::Result<()> {
    loop {
        match umount2(root, MntFlags::MNT_DETACH) {
            // Again, should there be one below.
            Ok(()) => {}
            // Not a mount, not there, or not allowed to have mounted anything.
            Err(Errno::EINVAL | Errno::ENOENT | Errno::EPERM) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
