//! The places of programs and folders, and the kernel that the tests run on.

use std::path::{Path, PathBuf};

/// The top folder of the checkout.
pub fn repository_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the checkout")
}

/// The folder with the worker's programs. It is the one in which this test was built.
pub fn target_dir() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own path");
    // This program is `target/debug/deps/name-hash` or `target/debug/name`.
    let folder = own.parent().expect("a program lies in a folder");
    let folder = if folder.ends_with("deps") { folder.parent().expect("deps") } else { folder };
    folder.to_owned()
}

/// The path of one of the worker's programs.
pub fn program(name: &str) -> PathBuf {
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

/// The kernels on which the tests run. They differ in the mechanisms that they offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Linux.
    Linux,
    /// A gVisor with mount namespaces.
    NewerGvisor,
    /// A gVisor in which all processes share one set of mounts.
    OlderGvisor,
}

/// The kernel on which this test runs.
pub fn kernel() -> Kernel {
    if !Path::new("/proc/sentry-meminfo").exists() {
        Kernel::Linux
    } else if Path::new("/proc/self/ns/mnt").exists() {
        Kernel::NewerGvisor
    } else {
        Kernel::OlderGvisor
    }
}

/// Whether the tests run as root. If so, the sandbox runs as another user.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
