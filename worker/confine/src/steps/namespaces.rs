//! Namespaces. Root enters them directly. An ordinary user, and root where the kernel refuses that,
//! first makes a user namespace and enters them inside it.

use std::fmt;
use std::io::Write as _;

use dreamcore_wire::plan::{Demand, Mechanism, Plan};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use super::control::Control;
use super::{StepResult, identity};

const KINDS: [(Mechanism, CloneFlags); 4] = [
    (Mechanism::MountNamespace, CloneFlags::CLONE_NEWNS),
    (Mechanism::PidNamespace, CloneFlags::CLONE_NEWPID),
    (Mechanism::NetworkNamespace, CloneFlags::CLONE_NEWNET),
    (Mechanism::IpcNamespace, CloneFlags::CLONE_NEWIPC),
];

/// Why a namespace was not entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NotEntered {
    /// The kernel refused.
    Refused(Errno),
    /// The call succeeded, but this process still shares its mounts with all others.
    StillShared,
}

impl fmt::Display for NotEntered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(errno) => errno.fmt(f),
            Self::StillShared => f.write_str("the kernel accepted the call and did nothing"),
        }
    }
}

/// Which namespaces were entered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entered {
    /// The user was changed before the user namespace was made, so it must not be changed again.
    pub(crate) identity_changed: bool,
    /// A user namespace.
    pub(crate) user: bool,
    /// A mount namespace.
    pub(crate) mount: bool,
    /// The kernel accepted the call for a mount namespace and kept the shared mounts.
    pub(crate) mounts_shared: bool,
    /// A PID namespace. It applies to the children of this process, not to the process itself.
    pub(crate) pid: bool,
    /// A network namespace.
    pub(crate) network: bool,
}

/// Enters every namespace that the plan asks for and that this kernel offers.
pub(crate) fn enter(control: &Control, plan: &Plan) -> StepResult<Entered> {
    let mut entered = Entered::default();
    let root = identity::is_root();
    // Root needs no user namespace where it may call `unshare`. An IPC namespace is the cheapest
    // one to make, so it is made first to find out.
    let root_may = root && unshare(CloneFlags::CLONE_NEWIPC).is_ok();
    if !root_may && plan.demand(Mechanism::UserNamespace) != Demand::Off {
        if root && let Some(wanted) = plan.identity {
            identity::change(control, plan, wanted)?;
            entered.identity_changed = true;
            // The change of user made this process undumpable, so its files in /proc belong to
            // root, and it could not write its own maps there.
            if let Err(error) = nix::sys::prctl::set_dumpable(true) {
                control.outcome(plan, Mechanism::UserNamespace, Err(error.to_string()))?;
            }
        }
        let result = enter_user_namespace();
        entered.user = result.is_ok();
        control.outcome(plan, Mechanism::UserNamespace, result)?;
    }
    for (mechanism, flag) in KINDS {
        if plan.demand(mechanism) == Demand::Off {
            // This namespace was found missing when the worker started. Whether the mounts are
            // shared decides how the minimal root can be entered.
            if mechanism == Mechanism::MountNamespace {
                entered.mounts_shared = enter_one(mechanism, flag) == Err(NotEntered::StillShared);
            }
            continue;
        }
        let result = enter_one(mechanism, flag);
        let applied = result.is_ok();
        match mechanism {
            Mechanism::MountNamespace => {
                entered.mount = applied;
                entered.mounts_shared = result == Err(NotEntered::StillShared);
            }
            Mechanism::PidNamespace => entered.pid = applied,
            Mechanism::NetworkNamespace => entered.network = applied,
            _ => {}
        }
        let by = if entered.user { "in a user namespace" } else { "as root" };
        let result = result.map(|()| by.to_owned()).map_err(|reason| reason.to_string());
        control.outcome(plan, mechanism, result)?;
    }
    Ok(entered)
}

fn enter_one(mechanism: Mechanism, flag: CloneFlags) -> Result<(), NotEntered> {
    let before = mount_namespace();
    unshare(flag).map_err(NotEntered::Refused)?;
    // Older gVisor accepts the call for a mount namespace and keeps the same mounts. Whatever
    // is mounted afterwards would be mounted for the worker too.
    if mechanism == Mechanism::MountNamespace && (before.is_none() || mount_namespace() == before) {
        return Err(NotEntered::StillShared);
    }
    Ok(())
}

/// The identity of this process's mount namespace, if the kernel shows it.
fn mount_namespace() -> Option<std::path::PathBuf> {
    std::fs::read_link("/proc/self/ns/mnt").ok()
}

/// Enters a user namespace in which only this user exists, under its own number.
fn enter_user_namespace() -> Result<String, String> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|e| e.to_string())?;
    // Linux accepts a group map from an unprivileged process only after this. gVisor refuses this
    // write and accepts the map without it. So an error here is ignored: if it matters, writing the
    // map fails.
    write_proc("/proc/self/setgroups", "deny").unwrap_or_default();
    write_proc("/proc/self/uid_map", &format!("{uid} {uid} 1\n"))?;
    write_proc("/proc/self/gid_map", &format!("{gid} {gid} 1\n"))?;
    Ok(format!("maps uid {uid} and gid {gid} only"))
}

/// Writes `text` in a single call, because the kernel accepts a map only whole.
fn write_proc(path: &str, text: &str) -> Result<(), String> {
    std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| format!("{path}: {e}"))
}
