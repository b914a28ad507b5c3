//! A hostile program: tries what an attacker inside the sandbox would try, and reports what worked.
//!
//! It reads one attack a line from standard input and answers each with a line of JSON. It is part
//! of the product, because the worker proves its confinement with it at every start. It harms
//! nothing where the confinement is missing: it reads marked files, sends harmless signals and
//! undoes what it made.

mod files;
mod limits;
mod network;
mod privileges;
mod processes;

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;

use dreamcore_wire::attack::{Attack, Report};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        // What the copy with the setuid bit is asked.
        Some("whoami") => return answer(&nix::unistd::geteuid().to_string()),
        // What another sandbox runs, to see whether a signal reaches it.
        Some("wait") => return processes::wait_for_signal(),
        _ => {}
    }
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let Ok(attack) = serde_json::from_str::<Attack>(&line) else { return ExitCode::FAILURE };
        let report = attempt(&attack);
        let Ok(json) = serde_json::to_string(&report) else { return ExitCode::FAILURE };
        if answer(&json) != ExitCode::SUCCESS {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn answer(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn attempt(attack: &Attack) -> Report {
    match attack {
        Attack::Read { path } => files::read(path),
        Attack::Write { path } => files::write(path),
        Attack::List { path } => files::list(path),
        Attack::ReadBySymlink { path } => files::read_by_symlink(path),
        Attack::ReadByHardLink { path } => files::read_by_hard_link(path),
        Attack::ReadByProc { path } => files::read_by_proc(path),
        Attack::FindInProc { text } => processes::find_in_proc(text),
        Attack::OpenMemory => processes::open_memory(),
        Attack::Trace { pid } => processes::trace(*pid),
        Attack::ReadMemory { pid } => processes::read_memory(*pid),
        Attack::Signal { pid } => processes::signal(*pid),
        Attack::Outlive => processes::outlive(),
        Attack::TcpConnect { address } => network::tcp_connect(*address),
        Attack::TcpListen { address } => network::tcp_listen(*address),
        Attack::UdpSend { address } => network::udp_send(*address),
        Attack::UnixConnect { path } => network::unix_connect(path),
        Attack::AbstractConnect { name } => network::abstract_connect(name),
        Attack::Socket { family, kind, protocol } => network::socket(*family, *kind, *protocol),
        Attack::BecomeRoot => privileges::become_root(),
        Attack::RunSetuid { path } => privileges::run_setuid(path),
        Attack::UserNamespace => privileges::user_namespace(),
        Attack::Mount => privileges::mount(),
        Attack::SystemCall { number } => privileges::system_call(*number),
        Attack::GrowFile { bytes } => limits::grow_file(*bytes),
        Attack::StartProcesses { count } => limits::start_processes(*count),
        Attack::OpenFiles { count } => limits::open_files(*count),
        Attack::TakeMemory { bytes } => limits::take_memory(*bytes),
    }
}

/// The report for a result.
fn report<T>(result: std::io::Result<T>, detail: impl FnOnce(T) -> String) -> Report {
    match result {
        Ok(value) => Report::succeeded(detail(value)),
        Err(error) => Report::refused(&error),
    }
}
