//! The policy: what a sandboxed program gets to see, and what of the confinement is demanded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dreamcore_wire::plan::{
    Access, Demand, Grant, Identity, Limits, Mechanism, Plan, SANDBOX_IDENTITY,
};

/// The port of the broker's listener where the sandbox has a network of its own. Nothing else can
/// be on that network, so the number is free.
pub const INNER_API_PORT: u16 = 8080;

/// Programs and libraries, the same for every run. All optional: distributions differ, and where
/// the CLI misses one it says so itself.
const SYSTEM: [(&str, Access); 22] = [
    ("/usr", Access::ReadExecute),
    ("/bin", Access::ReadExecute),
    ("/sbin", Access::ReadExecute),
    ("/lib", Access::ReadExecute),
    ("/lib32", Access::ReadExecute),
    ("/lib64", Access::ReadExecute),
    ("/etc/alternatives", Access::Read),
    ("/etc/bash.bashrc", Access::Read),
    ("/etc/group", Access::Read),
    ("/etc/ld.so.cache", Access::Read),
    ("/etc/localtime", Access::Read),
    ("/etc/nsswitch.conf", Access::Read),
    ("/etc/passwd", Access::Read),
    ("/etc/profile", Access::Read),
    ("/etc/profile.d", Access::Read),
    ("/etc/ssl/certs", Access::Read),
    ("/etc/ssl/openssl.cnf", Access::Read),
    ("/dev/full", Access::Device),
    ("/dev/null", Access::Device),
    ("/dev/random", Access::Device),
    ("/dev/urandom", Access::Device),
    ("/dev/zero", Access::Device),
];

/// The user that sandboxes change to, where this process may change users.
pub fn sandbox_identity() -> Option<Identity> {
    nix::unistd::geteuid().is_root().then_some(SANDBOX_IDENTITY)
}

/// What is the same for every program that the worker starts.
#[derive(Debug, Clone)]
pub struct Policy {
    identity: Option<Identity>,
    demands: BTreeMap<Mechanism, Demand>,
    limits: Limits,
}

/// What one program gets beside the system's files.
#[derive(Debug, Clone)]
pub struct Program {
    /// Absolute path of the program.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Its own paths.
    pub grants: Vec<Grant>,
    /// An empty folder for the minimal root.
    pub root_dir: PathBuf,
    /// The port of the broker, if it may use one.
    pub api_port: Option<u16>,
}

impl Policy {
    /// A policy that tries everything and demands nothing, for finding out what holds here.
    pub fn exploring(limits: Limits) -> Self {
        let demands = Mechanism::ALL.map(|m| (m, Demand::IfPossible)).into();
        Self { identity: sandbox_identity(), demands, limits }
    }

    /// The same, demanding each mechanism for which `holds` says yes and leaving out the others.
    #[must_use]
    pub fn demanding(mut self, holds: impl Fn(Mechanism) -> bool) -> Self {
        for (mechanism, demand) in &mut self.demands {
            *demand = if holds(*mechanism) { Demand::Required } else { Demand::Off };
        }
        self
    }

    /// The same with lower limits on processes and open files.
    #[must_use]
    pub fn with_at_most(mut self, processes: u64, open_files: u64) -> Self {
        self.limits.processes = self.limits.processes.min(processes);
        self.limits.open_files = self.limits.open_files.min(open_files);
        self
    }

    /// The same with less memory for all processes together, in bytes.
    #[must_use]
    pub fn with_memory(mut self, bytes: u64) -> Self {
        self.limits.memory_bytes = self.limits.memory_bytes.min(bytes);
        self
    }

    /// Whether `mechanism` is demanded of every start.
    pub fn demands(&self, mechanism: Mechanism) -> bool {
        self.demands.get(&mechanism) == Some(&Demand::Required)
    }

    /// The user that sandboxed programs run as; `None` is the worker's own.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// The plan for starting `program`.
    pub fn plan(&self, program: Program) -> Plan {
        let mut grants: Vec<Grant> =
            SYSTEM.iter().map(|(path, access)| Grant::optional(*path, *access)).collect();
        if !is_system(&program.path) {
            grants.push(Grant::new(&program.path, Access::ReadExecute));
        }
        grants.extend(program.grants);
        Plan {
            program: program.path,
            args: program.args,
            env: program.env,
            cwd: program.cwd,
            identity: self.identity,
            grants,
            root_dir: program.root_dir,
            api_port: program.api_port,
            limits: self.limits,
            cgroup: Err("none was made".to_owned()),
            demands: self.demands.clone(),
        }
    }
}

/// Whether the system's own grants cover a program already.
fn is_system(program: &Path) -> bool {
    SYSTEM.iter().any(|(path, access)| *access == Access::ReadExecute && program.starts_with(path))
}
