//! TRUST BOUNDARY 4, the change of user: from root to the sandbox's user, for good.

use dreamcore_wire::control::{Failure, Step};
use dreamcore_wire::plan::{Identity, Mechanism, Plan};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};

use super::StepResult;
use super::control::Control;

/// Whether this process is root and so must change its user.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Becomes the sandbox's user, and reports it. If this fails, the start fails, even where the plan
/// does not require the mechanism: the process would still be root, or have root's group.
pub(crate) fn change(control: &Control, plan: &Plan, identity: Identity) -> StepResult {
    let changed = change_for_good(identity);
    let detail = changed.map_err(Failure::at(Step::Mechanism(Mechanism::Identity)))?;
    control.outcome(plan, Mechanism::Identity, Ok(detail))
}

/// Drops the supplementary groups, then the group, then the user, and checks that all of it holds.
fn change_for_good(identity: Identity) -> Result<String, String> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    let failed = |call: &'static str| move |errno: Errno| format!("{call}: {errno}");
    setgroups(&[]).map_err(failed("setgroups"))?;
    setresgid(gid, gid, gid).map_err(failed("setresgid"))?;
    setresuid(uid, uid, uid).map_err(failed("setresuid"))?;

    let users = getresuid().map_err(failed("getresuid"))?;
    let groups = getresgid().map_err(failed("getresgid"))?;
    let holds = users.real == uid
        && users.effective == uid
        && users.saved == uid
        && groups.real == gid
        && groups.effective == gid
        && groups.saved == gid
        && nix::unistd::getgroups().is_ok_and(|list| list.is_empty())
        && setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_err();
    if holds {
        Ok(format!("uid {uid}, gid {gid}"))
    } else {
        Err("the user did not change for good".to_owned())
    }
}

/// Empties the bounding set. This needs `CAP_SETPCAP`, which the change of user takes away, so it
/// comes before that change.
pub(crate) fn drop_bounding_set() -> Result<(), String> {
    caps::clear(None, caps::CapSet::Bounding).map_err(|e| e.to_string())
}

/// Empties the other capability sets and checks that every set is empty.
pub(crate) fn drop_capabilities() -> Result<String, String> {
    use caps::CapSet::{Ambient, Bounding, Effective, Inheritable, Permitted};
    // gVisor has no ambient set, so nothing has to be emptied there.
    let has_ambient = caps::read(None, Ambient).is_ok();
    let sets = [Inheritable, Effective, Permitted].into_iter();
    let sets: Vec<_> = sets.chain(has_ambient.then_some(Ambient)).collect();
    for set in &sets {
        caps::clear(None, *set).map_err(|e| e.to_string())?;
    }
    for set in sets {
        if !caps::read(None, set).map_err(|e| e.to_string())?.is_empty() {
            return Err(format!("the {set:?} set is not empty"));
        }
    }
    // An ordinary user cannot empty the bounding set, and need not: it limits what setuid programs
    // can gain, and with no_new_privs they gain nothing.
    let bounding = caps::read(None, Bounding).map_err(|e| e.to_string())?;
    Ok(if bounding.is_empty() {
        "every set empty".to_owned()
    } else {
        "every set but the bounding set empty".to_owned()
    })
}

/// Sets `no_new_privs`: no program that is executed from here on can gain privileges.
pub(crate) fn forbid_new_privileges() -> Result<String, String> {
    nix::sys::prctl::set_no_new_privs().map_err(|e| e.to_string())?;
    match nix::sys::prctl::get_no_new_privs() {
        Ok(true) => Ok("set".to_owned()),
        Ok(false) => Err("it was set and does not hold".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
