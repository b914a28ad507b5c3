//! The launcher: confines itself step by step and then executes the program that the plan names.
//!
//! TRUST BOUNDARY 4: from the worker's user to the sandbox's. The worker starts the launcher with a
//! control socket and nothing else. The launcher has one thread and no async runtime, so after a
//! fork it may still allocate, report and check each step. `supervise` and `confine` below are the
//! checklist of its steps; each step is one file in `steps/`.
//!
//! ```text
//! worker ── dreamcore-confine (waits, outside)
//!              └── first process inside: confines itself; with a PID namespace it stays as init
//!                     └── the program
//! ```

mod steps;

use std::process::ExitCode;

use crate::steps::control::Control;
use crate::steps::landlock::Root;
use crate::steps::mounts::Mounts;
use crate::steps::namespaces::Entered;
use crate::steps::own_user::Entrant;
use crate::steps::{
    StepResult, cgroup, identity, landlock, limits, mounts, namespaces, network, own_user, process,
    reaper, seccomp,
};
use dreamcore_wire::control::{Failure, Message, Step};
use dreamcore_wire::plan::{Demand, Identity, Mechanism, Plan};
use nix::unistd::ForkResult;

fn main() -> ExitCode {
    let control = match Control::inherit() {
        Ok(control) => control,
        Err(failure) => return complain(&failure),
    };
    match control.read_plan().and_then(|plan| supervise(&control, &plan)) {
        Ok(code) => code,
        Err(failure) => {
            let told = control.send(&Message::Failed(failure.clone()));
            told.map_or_else(|_| complain(&failure), |()| ExitCode::FAILURE)
        }
    }
}

#[allow(clippy::print_stderr, reason = "there is nobody else to tell")]
fn complain(failure: &Failure) -> ExitCode {
    eprintln!("dreamcore-confine: {failure}");
    ExitCode::FAILURE
}

/// Runs outside the sandbox: enters the namespaces, forks, and waits until the inner half ends.
fn supervise(control: &Control, plan: &Plan) -> StepResult<ExitCode> {
    if identity::is_root() && plan.identity.is_none() {
        let refused = "refusing to run a sandboxed program as root";
        return Err(Failure::at(Step::Mechanism(Mechanism::Identity))(refused));
    }
    process::lead_session()?;
    let groups = cgroup::open(plan);
    let entered = namespaces::enter(control, plan)?;
    if let (true, Some(port)) = (entered.network, plan.api_port) {
        network::open_broker_listener(control, port)?;
    }
    let signals = reaper::prepare(entered.pid)?;
    let own_user = plan
        .identity
        .filter(|_| identity::is_root() && plan.demand(Mechanism::UserNamespace) != Demand::Off);
    let (mapper, entrant) = own_user::prepare()?;
    match process::split()? {
        ForkResult::Parent { child } => {
            drop((entrant, groups));
            if let Some(identity) = own_user {
                mapper.serve(child, identity);
            }
            let watched = reaper::watch(control, &signals, child);
            if entered.mounts_shared {
                mounts::release(&plan.root_dir).map_err(Failure::at(Step::Release))?;
            }
            watched.map(|()| ExitCode::SUCCESS)
        }
        ForkResult::Child => {
            drop((signals, mapper));
            let entrant = own_user.map(|identity| (entrant, identity));
            // The first step of the inner half, so that every process and page of the sandbox is
            // counted in its control groups.
            if plan.demand(Mechanism::Cgroup) != Demand::Off {
                let joined = groups.and_then(|groups| cgroup::join(plan, groups));
                control.outcome(plan, Mechanism::Cgroup, joined)?;
            }
            confine(control, plan, entered, entrant)
        }
    }
}

/// Hides every path that is not granted, and returns what the paths of the plan mean from now on.
fn hide_files(control: &Control, plan: &Plan, entered: Entered) -> StepResult<Root> {
    if plan.demand(Mechanism::MinimalRoot) == Demand::Off {
        return Ok(Root::default());
    }
    let result = if entered.mount {
        mounts::enter_minimal_root(plan, Mounts::Own, entered.pid)
    } else if entered.mounts_shared && identity::is_root() {
        mounts::enter_minimal_root(plan, Mounts::Shared, entered.pid)
    } else {
        Err("needs a mount namespace".to_owned())
    };
    let minimal = result.is_ok();
    control.outcome(plan, Mechanism::MinimalRoot, result)?;
    Ok(Root { minimal, own_proc: minimal && entered.pid })
}

/// Runs inside the sandbox: gives up one right after the other and then executes the program. The
/// order matters: each step still needs rights that a later step gives up.
fn confine(
    control: &Control,
    plan: &Plan,
    entered: Entered,
    entrant: Option<(Entrant, Identity)>,
) -> StepResult<ExitCode> {
    let wanted = |mechanism| plan.demand(mechanism) != Demand::Off;

    process::die_with_parent()?;
    let root = hide_files(control, plan, entered)?;
    // Asked before the user namespace is entered: root has no number in that namespace, so
    // afterwards this process would not see that it is root.
    let is_root = identity::is_root();
    if let Some((entrant, identity)) = entrant {
        control.outcome(plan, Mechanism::UserNamespace, entrant.enter(identity))?;
    }
    if root.minimal && !entered.mount {
        mounts::enter_by_chroot(&plan.root_dir)?;
    }
    let own_user = plan.identity.is_some() || entered.user;
    control.outcome(plan, Mechanism::Rlimits, limits::apply(plan.limits, own_user))?;

    if is_root || entered.user {
        identity::drop_bounding_set()
            .map_err(Failure::at(Step::Mechanism(Mechanism::Capabilities)))?;
    }
    if is_root && let Some(wanted) = plan.identity {
        identity::change(control, plan, wanted)?;
        // The kernel cleared the parent death signal when the user changed.
        process::die_with_parent()?;
    } else if !entered.identity_changed && wanted(Mechanism::Identity) {
        let reason = "the worker is not root, so the sandbox runs as the worker's user".to_owned();
        control.outcome(plan, Mechanism::Identity, Err(reason))?;
    }
    control.outcome(plan, Mechanism::Capabilities, identity::drop_capabilities())?;
    control.outcome(plan, Mechanism::NoNewPrivs, identity::forbid_new_privileges())?;
    if wanted(Mechanism::Landlock) {
        control.outcome(plan, Mechanism::Landlock, landlock::restrict(plan, root))?;
    }
    if wanted(Mechanism::Seccomp) {
        control.outcome(plan, Mechanism::Seccomp, seccomp::install())?;
    }
    control.send(&Message::Ready).map_err(Failure::at(Step::Report))?;

    if !entered.pid {
        return Err(process::become_program(plan));
    }
    match process::split()? {
        ForkResult::Parent { child } => {
            let code = reaper::init(control, child, root.own_proc)?;
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
        }
        ForkResult::Child => Err(process::become_program(plan)),
    }
}
