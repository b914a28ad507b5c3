//! Where programs and folders are.

use std::path::{Path, PathBuf};

/// The checkout.
pub fn repository_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the checkout")
}

/// The folder that holds the worker's programs, which is where this test was built too.
pub fn target_dir() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own path");
    // target/debug/deps/name-hash, or target/debug/name.
    let folder = own.parent().expect("a program lies in a folder");
    let folder = if folder.ends_with("deps") { folder.parent().expect("deps") } else { folder };
    folder.to_owned()
}

/// One of the worker's programs.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = target_dir().join(name);
    assert!(path.is_file(), "{} is missing: run `make build` first", path.display());
    path
}

/// The Claude CLI that `make tools` fetched.
pub fn claude() -> PathBuf {
    let path = repository_root().join(".tools/claude");
    assert!(path.is_file(), "{} is missing: run `make tools` first", path.display());
    path
}

/// The kernel that the tests run on, where it makes a difference to what can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Linux.
    Linux,
    /// gVisor with mount namespaces.
    NewerGvisor,
    /// gVisor with one set of mounts for everybody.
    OlderGvisor,
}

/// Which one this is.
pub fn kernel() -> Kernel {
    if !Path::new("/proc/sentry-meminfo").exists() {
        Kernel::Linux
    } else if Path::new("/proc/self/ns/mnt").exists() {
        Kernel::NewerGvisor
    } else {
        Kernel::OlderGvisor
    }
}

/// Whether the tests run as root, and so the sandbox as another user.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
