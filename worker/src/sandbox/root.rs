//! Unmounting the root that a killed launcher has left behind.

use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

/// Unmounts a root that was built among shared mounts, and everything that is mounted in it. If
/// there is no such root, nothing happens.
#[expect(clippy::disallowed_methods, reason = "the one place that takes mounts away")]
pub fn release(root: &Path) -> nix::Result<()> {
    loop {
        match umount2(root, MntFlags::MNT_DETACH) {
            // Another mount may lie below the one that was just removed.
            Ok(()) => {}
            // The folder is not a mount point, does not exist, or this process may not mount at
            // all.
            Err(Errno::EINVAL | Errno::ENOENT | Errno::EPERM) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
