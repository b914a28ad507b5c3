//! The plan of one start: which program is started and how it is confined. The worker decides it,
//! and the launcher carries it out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One protection of the sandbox. The launcher applies each as a whole or reports it missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// Another user and group than the worker's, without supplementary groups.
    Identity,
    /// Every capability set is empty, the bounding set too.
    Capabilities,
    /// No program can gain privileges, not even a setuid program.
    NoNewPrivs,
    /// Limits by `setrlimit`: on locked memory, files, processes, core dumps and others.
    Rlimits,
    /// A control group of its own, which limits memory and processes of the whole sandbox together.
    Cgroup,
    /// A user namespace, in which root outside has no number.
    UserNamespace,
    /// A mount namespace: mounts of its own.
    MountNamespace,
    /// A PID namespace: the sandbox cannot see or signal a process outside, and all of its
    /// processes end together.
    PidNamespace,
    /// A network namespace, with nothing but a loopback interface.
    NetworkNamespace,
    /// An IPC namespace: System V objects and POSIX queues of its own.
    IpcNamespace,
    /// A root in which nothing but the granted paths exists.
    MinimalRoot,
    /// Access rights per path, which the kernel enforces whatever owner and mode of a file say.
    Landlock,
    /// A filter that refuses system calls that the CLI does not need.
    Seccomp,
}

impl Mechanism {
    /// All mechanisms, in the order in which they are reported.
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

    /// The mechanism's name in reports and logs.
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

/// What the launcher does about a mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// Does not try to apply it.
    Off,
    /// Tries to apply it; if that fails, reports it missing and goes on. The worker uses this once,
    /// at its start, to find out which mechanisms this machine has.
    IfPossible,
    /// Applies it; if that fails, the start fails.
    Required,
}

/// The user that the program runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The number of the user.
    pub uid: u32,
    /// The number of the group.
    pub gid: u32,
}

/// The user of every sandbox that a worker with root's rights starts.
pub const SANDBOX_IDENTITY: Identity = Identity { uid: 1000, gid: 1000 };

/// What the sandbox may do with a path and what lies below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read files and list folders.
    Read,
    /// Read files, list folders and execute programs.
    ReadExecute,
    /// Read, create, change and remove files and folders, but not execute programs.
    Write,
    /// Read from and write to an existing device.
    Device,
}

/// A path that exists in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its place outside the sandbox.
    pub path: PathBuf,
    /// Its place inside, if that is another one. Only a sandbox with a root of its own can give it
    /// another place; in any other sandbox it is where it is outside.
    pub at: Option<PathBuf>,
    /// What the sandbox may do with it.
    pub access: Access,
    /// Whether the start goes on if it does not exist: system files differ between distributions.
    pub optional: bool,
}

impl Grant {
    /// Grants a path that must exist.
    pub fn new(path: impl Into<PathBuf>, access: Access) -> Self {
        Self { path: path.into(), at: None, access, optional: false }
    }

    /// Grants a path if it exists.
    pub fn optional(path: impl Into<PathBuf>, access: Access) -> Self {
        Self { optional: true, ..Self::new(path, access) }
    }

    /// Gives the path another place inside.
    #[must_use]
    pub fn at(mut self, place: impl AsRef<Path>) -> Self {
        self.at = Some(place.as_ref().to_owned());
        self
    }

    /// Returns the place of the path in a sandbox that has a root of its own.
    pub fn place(&self) -> &Path {
        self.at.as_deref().unwrap_or(&self.path)
    }
}

/// Limits that the kernel enforces, by `setrlimit` or by a control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The largest size to which a file can be written, in bytes.
    pub file_bytes: u64,
    /// The number of open files of one process.
    pub open_files: u64,
    /// The number of processes and threads of the sandbox's user together.
    pub processes: u64,
    /// The processor time of one process, in seconds.
    pub cpu_s: u64,
    /// The memory of all processes together, in bytes. Only a control group enforces it.
    pub memory_bytes: u64,
}

/// Everything about one start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The absolute path of the program.
    pub program: PathBuf,
    /// The program's arguments, without its name.
    pub args: Vec<String>,
    /// The program's whole environment. Nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// The program's working directory.
    pub cwd: PathBuf,
    /// The user that the program runs as. `None` keeps the worker's user; the launcher refuses that
    /// if the worker is root.
    pub identity: Option<Identity>,
    /// Every path that the sandbox can see.
    pub grants: Vec<Grant>,
    /// An empty folder on which the minimal root is built.
    pub root_dir: PathBuf,
    /// The only TCP port that the sandbox may connect to: the broker's.
    pub api_port: Option<u16>,
    /// Resource limits of the sandbox.
    pub limits: Limits,
    /// The folders of the control groups to join, or why there are none. They are made, and filled
    /// in here, when the plan is started.
    pub cgroup: Result<Vec<PathBuf>, String>,
    /// What to do about each mechanism. One that is not in the map is `Required`.
    pub demands: BTreeMap<Mechanism, Demand>,
}

impl Plan {
    /// What the launcher does about `mechanism`.
    pub fn demand(&self, mechanism: Mechanism) -> Demand {
        self.demands.get(&mechanism).copied().unwrap_or(Demand::Required)
    }
}
