//! What is to be started and how it is to be confined: plain data, decided by the worker, carried
//! out by the launcher.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One protection. Each is applied as a whole or reported missing, never half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// Another user and group than the worker's, no supplementary groups.
    Identity,
    /// Every capability set empty, the bounding set too.
    Capabilities,
    /// No program may raise privileges, setuid ones included.
    NoNewPrivs,
    /// Limits on memory locks, files, processes, core dumps and so on.
    Rlimits,
    /// A control group of its own: memory and processes of the whole sandbox together.
    Cgroup,
    /// Namespaces owned by an ordinary user.
    UserNamespace,
    /// Mounts of its own.
    MountNamespace,
    /// Process ids of its own: nobody outside can be seen or signalled, and all end together.
    PidNamespace,
    /// Only a loopback of its own.
    NetworkNamespace,
    /// System V IPC and POSIX queues of its own.
    IpcNamespace,
    /// Nothing but the granted paths exists.
    MinimalRoot,
    /// Access rights per path, enforced by the kernel whatever the owner and mode say.
    Landlock,
    /// System calls that the CLI does not need are refused.
    Seccomp,
}

impl Mechanism {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 13] = [
        Self::Identity,
        Self::Capabilities,
        Self::NoNewPrivs,
        Self::Rlimits,
        Self::Cgroup,
        Self::UserNamespace,
        Self::MountNamespace,
        Self::PidNamespace,
        Self::NetworkNamespace,
        Self::IpcNamespace,
        Self::MinimalRoot,
        Self::Landlock,
        Self::Seccomp,
    ];

    /// The name used in reports and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivs => "no_new_privs",
            Self::Rlimits => "rlimits",
            Self::Cgroup => "cgroup",
            Self::UserNamespace => "user_namespace",
            Self::MountNamespace => "mount_namespace",
            Self::PidNamespace => "pid_namespace",
            Self::NetworkNamespace => "network_namespace",
            Self::IpcNamespace => "ipc_namespace",
            Self::MinimalRoot => "minimal_root",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What becomes of a mechanism that cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// It is not tried.
    Off,
    /// It is reported missing and the start goes on: for finding out what holds here.
    IfPossible,
    /// The start fails.
    Required,
}

/// The user that the program runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The user of every sandbox.
pub const SANDBOX_IDENTITY: Identity = Identity { uid: 1000, gid: 1000 };

/// What may be done below a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read files, list folders.
    Read,
    /// The same and run programs.
    ReadExecute,
    /// Read, create, change and remove; not run.
    Write,
    /// Read and write an existing device; nothing else.
    Device,
}

/// A path that exists in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Where it is outside, and inside too.
    pub path: PathBuf,
    /// A second place for it inside, where the sandbox has a root of its own.
    pub also_at: Option<PathBuf>,
    /// What may be done.
    pub access: Access,
    /// Whether it may be missing here (system files differ between distributions).
    pub optional: bool,
}

impl Grant {
    /// A path that must exist.
    pub fn new(path: impl Into<PathBuf>, access: Access) -> Self {
        Self { path: path.into(), also_at: None, access, optional: false }
    }

    /// A path that is granted where it exists.
    pub fn optional(path: impl Into<PathBuf>, access: Access) -> Self {
        Self { optional: true, ..Self::new(path, access) }
    }

    /// The same path, visible at `place` too.
    #[must_use]
    pub fn also_at(mut self, place: impl AsRef<Path>) -> Self {
        self.also_at = Some(place.as_ref().to_owned());
        self
    }
}

/// Limits of the kernel's own kind; `None` leaves the inherited one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest file that can be written, in bytes.
    pub file_bytes: u64,
    /// Open files of one process.
    pub open_files: u64,
    /// Processes and threads of the sandbox's user.
    pub processes: u64,
    /// Processor time of one process, in seconds.
    pub cpu_s: u64,
    /// Memory of all processes together, in bytes; held by the control group.
    pub memory_bytes: u64,
}

/// Everything about one start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The program; an absolute path.
    pub program: PathBuf,
    /// Its arguments, without the program's name.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Who it runs as; `None` keeps the worker's user, which only an ordinary user may ask for.
    pub identity: Option<Identity>,
    /// All that it can see.
    pub grants: Vec<Grant>,
    /// An empty folder on which the minimal root is built.
    pub root_dir: PathBuf,
    /// The one TCP port that it may connect to.
    pub api_port: Option<u16>,
    /// Kernel limits.
    pub limits: Limits,
    /// The control groups to join, or why there are none; filled in when it is started.
    pub cgroup: Result<Vec<PathBuf>, String>,
    /// What becomes of each mechanism that cannot be applied; missing means `Required`.
    pub demands: BTreeMap<Mechanism, Demand>,
}

impl Plan {
    /// What becomes of `mechanism` if it cannot be applied.
    pub fn demand(&self, mechanism: Mechanism) -> Demand {
        self.demands.get(&mechanism).copied().unwrap_or(Demand::Required)
    }
}
