//! The policy: what a sandboxed program can see, and which mechanisms every start requires.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dreamcore_wire::plan::{
    Access, Demand, Grant, Identity, Limits, Mechanism, Plan, SANDBOX_IDENTITY,
};

/// The port of the broker's listener if the sandbox has a network of its own. Nothing else is on
/// that network, so this port is always free.
pub const INNER_API_PORT: u16 = 8080;

/// The system's programs and libraries, the same for every run. All are optional, because
/// distributions differ, and if the CLI misses one, it reports that itself.
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

/// The user that sandboxes change to. `None` if this process may not change users.
pub fn sandbox_identity() -> Option<Identity> {
    nix::unistd::geteuid().is_root().then_some(SANDBOX_IDENTITY)
}

/// The part of a plan that is the same for every program.
#[derive(Debug, Clone)]
pub struct Policy {
    identity: Option<Identity>,
    demands: BTreeMap<Mechanism, Demand>,
    limits: Limits,
}

/// The part of a plan that belongs to one program.
#[derive(Debug, Clone)]
pub struct Program {
    /// The absolute path of the program.
    pub path: PathBuf,
    /// The program's arguments.
    pub args: Vec<String>,
    /// The program's whole environment.
    pub env: BTreeMap<String, String>,
    /// The program's working directory.
    pub cwd: PathBuf,
    /// The paths that the program can see in addition to the system's.
    pub grants: Vec<Grant>,
    /// An empty folder on which the minimal root is mounted.
    pub root_dir: PathBuf,
    /// The port of the broker. `None` if the program may not use the model API.
    pub api_port: Option<u16>,
}

impl Policy {
    /// A policy that tries every mechanism and requires none. It serves to find out which
    /// mechanisms this machine has.
    pub fn exploring(limits: Limits) -> Self {
        let demands = Mechanism::ALL.map(|m| (m, Demand::IfPossible)).into();
        Self { identity: sandbox_identity(), demands, limits }
    }

    /// The same policy, which now requires each mechanism for which `holds` is true and does not
    /// try the others.
    #[must_use]
    pub fn demanding(mut self, holds: impl Fn(Mechanism) -> bool) -> Self {
        for (mechanism, demand) in &mut self.demands {
            *demand = if holds(*mechanism) { Demand::Required } else { Demand::Off };
        }
        self
    }

    /// The same policy with limits on processes and open files that are at most these.
    #[must_use]
    pub fn with_at_most(mut self, processes: u64, open_files: u64) -> Self {
        self.limits.processes = self.limits.processes.min(processes);
        self.limits.open_files = self.limits.open_files.min(open_files);
        self
    }

    /// The same policy with a limit on the memory of all processes together that is at most
    /// `bytes`.
    #[must_use]
    pub fn with_memory(mut self, bytes: u64) -> Self {
        self.limits.memory_bytes = self.limits.memory_bytes.min(bytes);
        self
    }

    /// Whether every start requires `mechanism`.
    pub fn demands(&self, mechanism: Mechanism) -> bool {
        self.demands.get(&mechanism) == Some(&Demand::Required)
    }

    /// The user that sandboxed programs run as. `None` stands for the worker's own.
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

/// Whether the grants of the system's folders include a program.
fn is_system(program: &Path) -> bool {
    SYSTEM.iter().any(|(path, access)| *access == Access::ReadExecute && program.starts_with(path))
}
