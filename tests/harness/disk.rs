//! Disks of a test, which can be filled up.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// A small file system in memory, for as long as this lives.
#[derive(Debug)]
pub struct Disk(tempfile::TempDir);

impl Disk {
    /// Mounts one with these options of `tmpfs`. Only root can.
    pub fn new(options: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("dcd-").tempdir().expect("a folder");
        run(
            "mount",
            &["-t", "tmpfs", "-o", options, "tmpfs", &folder.path().display().to_string()],
        );
        Self(folder)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Changes its options.
    pub fn remount(&self, options: &str) {
        let (options, path) = (format!("remount,{options}"), self.path().display().to_string());
        // The kernel gives back what a sandbox held a moment after its end, and refuses to shrink a
        // disk before.
        for _ in 0..100 {
            let tried = Command::new("mount").args(["-o", &options, &path]).output();
            if tried.expect("it can be executed").status.success() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        run("mount", &["-o", &options, &path]);
    }

    /// Leaves so many bytes free.
    pub fn fill_up_to(&self, free: u64) {
        // Emptied and not removed: a process that is just being started by another test may hold it
        // open for a moment, and with it the space of a file that was removed.
        let mut filler = File::create(self.path().join("filler")).expect("it is made");
        let stat = nix::sys::statvfs::statvfs(self.path()).expect("it is mounted");
        let available = stat.blocks_available() * stat.fragment_size();
        let bytes = usize::try_from(available.saturating_sub(free)).expect("it is small");
        filler.write_all(&vec![1; bytes]).expect("there is room");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, because a worker may still have it open when a test fails.
        run("umount", &["-l", &self.path().display().to_string()]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect("it can be executed");
    assert!(status.success(), "{program} {arguments:?}");
}
