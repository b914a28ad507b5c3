//! Processes: sessions, forks, and the exec at the end.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;

use dreamcore_wire::control::{Failure, Step};
use dreamcore_wire::plan::Plan;
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
};
use nix::unistd::{ForkResult, execve, fork, setsid};

use super::StepResult;

/// Leaves the worker's session and terminal, and sets the usual file mode mask.
pub(crate) fn lead_session() -> StepResult {
    setsid().map_err(Failure::at(Step::Session))?;
    nix::sys::stat::umask(nix::sys::stat::Mode::S_IWGRP | nix::sys::stat::Mode::S_IWOTH);
    Ok(())
}

/// Asks the kernel to kill this process when its parent ends. A change of user clears this, so it
/// is called again afterwards.
pub(crate) fn die_with_parent() -> StepResult {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(Failure::at(Step::ParentDeathSignal))
}

/// Forks: returns in both processes.
#[allow(unsafe_code, reason = "fork has no safe form")]
pub(crate) fn split() -> StepResult<ForkResult> {
    // SAFETY: the launcher is single-threaded and starts no thread, so the child has the whole
    // process and may allocate and lock.
    unsafe { fork() }.map_err(Failure::at(Step::Fork))
}

/// Gives every signal its default action and blocks none. The Rust runtime ignores SIGPIPE, and an
/// ignored signal would stay ignored in the program.
#[allow(unsafe_code, reason = "sigaction has no safe form")]
fn reset_signals() -> StepResult {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator() {
        if signal != Signal::SIGKILL && signal != Signal::SIGSTOP {
            // SAFETY: the default action runs no code of this program.
            unsafe { sigaction(signal, &default) }.map_err(Failure::at(Step::Signals))?;
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        .map_err(Failure::at(Step::Signals))
}

/// Executes the program in this process. Returns only if that failed.
pub(crate) fn become_program(plan: &Plan) -> Failure {
    match exec(plan) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn exec(plan: &Plan) -> StepResult<std::convert::Infallible> {
    let program =
        CString::new(plan.program.as_os_str().as_bytes()).map_err(Failure::at(Step::Exec))?;
    let mut args = vec![program.clone()];
    for arg in &plan.args {
        args.push(CString::new(arg.as_str()).map_err(Failure::at(Step::Exec))?);
    }
    let mut env = Vec::new();
    for (name, value) in &plan.env {
        env.push(CString::new(format!("{name}={value}")).map_err(Failure::at(Step::Exec))?);
    }
    nix::unistd::chdir(&plan.cwd).map_err(Failure::at(Step::WorkingDirectory))?;
    reset_signals()?;
    execve(&program, &args, &env).map_err(Failure::at(Step::Exec))
}
