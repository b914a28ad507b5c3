//! Small disks that a test can fill up.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// A small file system in memory. It is unmounted when this value is dropped.
#[derive(Debug)]
pub struct Disk(tempfile::TempDir);

impl Disk {
    /// Mounts a `tmpfs` with these options. Only root can.
    pub fn new(options: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("dcd-").tempdir().expect("a folder");
        run(
            "mount",
            &["-t", "tmpfs", "-o", options, "tmpfs", &folder.path().display().to_string()],
        );
        Self(folder)
    }

    /// The folder where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Changes the options of the mount.
    pub fn remount(&self, options: &str) {
        let (options, path) = (format!("remount,{options}"), self.path().display().to_string());
        // The kernel frees the memory of a sandbox shortly after its end, and refuses to shrink the
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

    /// Fills the disk until `free` bytes are left.
    pub fn fill_up_to(&self, free: u64) {
        // The file is emptied and not removed: a process that another test is just starting may
        // hold it open for a moment, and would keep the space of a removed file in use.
        let mut filler = File::create(self.path().join("filler")).expect("it is made");
        let stat = nix::sys::statvfs::statvfs(self.path()).expect("it is mounted");
        let available = stat.blocks_available() * stat.fragment_size();
        let bytes = usize::try_from(available.saturating_sub(free)).expect("it is small");
        filler.write_all(&vec![1; bytes]).expect("there is room");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, because a worker may still have files open on it when a test fails.
        run("umount", &["-l", &self.path().display().to_string()]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect("it can be executed");
    assert!(status.success(), "{program} {arguments:?}");
}
