//! A control group with a limit of memory, such as a container is.

use std::fs;
use std::io::{ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// It is removed when dropped, by then without processes.
#[derive(Debug)]
pub struct Container(PathBuf);

impl Container {
    /// Makes one. An error where this machine's groups cannot be written.
    pub fn new(memory_bytes: u64) -> Result<Self> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (parent, limit) = if v1.is_dir() {
            (v1, "memory.limit_in_bytes")
        } else {
            (Path::new("/sys/fs/cgroup"), "memory.max")
        };
        let folder = tempfile::Builder::new().prefix("dreamcore-test-").tempdir_in(parent)?;
        let container = Self(folder.keep());
        fs::write(container.0.join(limit), memory_bytes.to_string())?;
        Ok(container)
    }

    /// A command that is in it from the beginning.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        let join = "echo $$ > \"$0\" && exec \"$@\"";
        command.args(["-c", join]).arg(self.0.join("cgroup.procs")).arg(program);
        command
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // What was in it was killed just now; a version 2 worker had a group of its own below.
        for _ in 0..500 {
            drop(fs::remove_dir(self.0.join("dreamcore-worker")));
            match fs::remove_dir(&self.0) {
                Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
                _ => return,
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
