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

/// A file system whose files together may take a limited space, as with a quota that an operator
/// has set. It refuses with `EDQUOT`, to root too, and says that there is free space. It is
/// unmounted when this value is dropped.
#[derive(Debug)]
pub struct Quota {
    place: tempfile::TempDir,
    _image: tempfile::NamedTempFile,
}

/// The name of a file system's first group of files.
const GROUP: &str = "0/256";

impl Quota {
    /// Makes one without a limit. `None`, with a message, if this machine cannot.
    #[expect(clippy::print_stderr, reason = "a test that looks at nothing must say so")]
    pub fn find(test: &str) -> Option<Self> {
        Self::make()
            .map_err(|missing| eprintln!("SKIPPED {test}: {missing} (apt-get install btrfs-progs)"))
            .ok()
    }

    fn make() -> Result<Self, String> {
        if !crate::is_root() {
            return Err("only root can mount a file system".to_owned());
        }
        let image = tempfile::NamedTempFile::new().expect("a file");
        image.as_file().set_len(512 << 20).expect("it is sparse");
        let place = tempfile::Builder::new().prefix("dcq-").tempdir().expect("a folder");
        let (from, to) = (image.path().display().to_string(), place.path().display().to_string());
        tried("mkfs.btrfs", &["--quiet", "--metadata", "single", &from])?;
        tried("mount", &["-o", "loop", &from, &to])?;
        let quota = Self { place, _image: image };
        tried("btrfs", &["quota", "enable", &to])?;
        tried("btrfs", &["subvolume", "create", &quota.path().display().to_string()])?;
        Ok(quota)
    }

    /// The folder whose files are limited.
    pub fn path(&self) -> std::path::PathBuf {
        self.place.path().join("files")
    }

    /// Limits the files to what they take now, and `free` bytes more.
    pub fn leave(&self, free: u64) {
        let path = self.path().display().to_string();
        // What was written and removed counts when it is on the disk.
        run("sync", &["--file-system", &path]);
        let shown = tried("btrfs", &["qgroup", "show", "--raw", "-f", &path]).expect("it has one");
        let line = shown.lines().find(|line| line.starts_with(GROUP)).expect("a line");
        let used = line.split_whitespace().nth(1).expect("a number");
        let used: u64 = used.parse().expect("a number");
        self.limit(&(used + free).to_string());
    }

    /// Takes the limit away.
    pub fn lift(&self) {
        self.limit("none");
    }

    fn limit(&self, bytes: &str) {
        // By the path of the whole file system, because that of the folder is under the limit itself.
        run("btrfs", &["qgroup", "limit", bytes, GROUP, &self.place.path().display().to_string()]);
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        run("umount", &["-l", &self.place.path().display().to_string()]);
    }
}

/// What a program writes, or why it failed.
fn tried(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!("{program}: {}", text(&output.stderr)))
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect("it can be executed");
    assert!(status.success(), "{program} {arguments:?}");
}
