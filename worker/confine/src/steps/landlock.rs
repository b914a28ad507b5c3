//! Landlock: rights per path and port that the kernel enforces on this process and all that it
//! starts, whatever the owner and mode of a file say.
//!
//! By default the crate drops the rights that the kernel does not know, without an error. Here the
//! newest version that the kernel knows is found first, and every right of it is then required.

use dreamcore_wire::plan::{Access, Grant, Plan};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort,
    PathBeneath, PathFd, PathFdError, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

/// The versions of Landlock, the newest first.
const VERSIONS: [ABI; 7] = [ABI::V7, ABI::V6, ABI::V5, ABI::V4, ABI::V3, ABI::V2, ABI::V1];

/// Which file system the paths of a plan refer to when Landlock restricts them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Root {
    /// There is a minimal root, so a granted path is where the plan says that it is inside. In the
    /// machine's own root it is where it is outside.
    pub(crate) minimal: bool,
    /// `/proc` shows only the processes of the sandbox.
    pub(crate) own_proc: bool,
}

/// Restricts this process to what the plan grants.
pub(crate) fn restrict(plan: &Plan, root: Root) -> Result<String, String> {
    let abi = newest().ok_or("this kernel has no Landlock")?;
    let mut rules = create(abi).map_err(|e| e.to_string())?;
    for grant in &plan.grants {
        rules = allow(rules, grant, abi, root.minimal)?;
    }
    if root.own_proc {
        rules = allow(rules, &Grant::new("/proc", Access::Read), abi, false)?;
    }
    if let (Some(port), true) = (plan.api_port, abi >= ABI::V4) {
        let rule = NetPort::new(port, AccessNet::ConnectTcp);
        rules = rules.add_rule(rule).map_err(|e| e.to_string())?;
    }
    let status = rules.restrict_self().map_err(|e| e.to_string())?;
    if status.ruleset == RulesetStatus::FullyEnforced {
        Ok(format!("ABI {}", abi as i32))
    } else {
        Err(format!("only {:?}", status.ruleset))
    }
}

fn newest() -> Option<ABI> {
    VERSIONS.into_iter().find(|abi| create(*abi).is_ok())
}

/// A ruleset that handles every right of `abi`, or an error if the kernel lacks any of them.
fn create(abi: ABI) -> Result<RulesetCreated, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))?;
    if abi >= ABI::V4 {
        rules = rules.handle_access(AccessNet::from_all(abi))?;
    }
    if abi >= ABI::V6 {
        rules = rules.scope(Scope::from_all(abi))?;
    }
    rules.create()
}

fn allow(
    rules: RulesetCreated,
    grant: &Grant,
    abi: ABI,
    minimal_root: bool,
) -> Result<RulesetCreated, String> {
    let explain = |e: &dyn std::fmt::Display| format!("{}: {e}", grant.path.display());
    let path = if minimal_root { grant.place() } else { grant.path.as_path() };
    let fd = match PathFd::new(path) {
        Ok(fd) => fd,
        Err(PathFdError::OpenCall { source, .. })
            if grant.optional && source.kind() == std::io::ErrorKind::NotFound =>
        {
            return Ok(rules);
        }
        Err(error) => return Err(explain(&error)),
    };
    let rights = rights(grant.access, path.is_dir(), abi);
    rules.add_rule(PathBeneath::new(fd, rights)).map_err(|e| explain(&e))
}

fn rights(access: Access, is_folder: bool, abi: ABI) -> BitFlags<AccessFs> {
    let rights = match access {
        Access::Read => AccessFs::ReadFile | AccessFs::ReadDir,
        Access::ReadExecute => AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute,
        Access::Device => AccessFs::ReadFile | AccessFs::WriteFile,
        // Programs may be executed from the system folders only, and a game needs no devices.
        Access::Write => {
            AccessFs::from_all(abi)
                & !(AccessFs::Execute
                    | AccessFs::MakeChar
                    | AccessFs::MakeBlock
                    | AccessFs::IoctlDev)
        }
    };
    if is_folder { rights } else { rights & AccessFs::from_file(abi) }
}
