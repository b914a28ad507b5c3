//! A hostile program: tries what an attacker inside the sandbox would try, and reports what worked.
//!
//! It reads one attack a line from standard input and answers each with a line of JSON. It is part
//! of the product, because the worker proves its confinement with it at every start. It harms
//! nothing where the confinement is missing: it reads marked files, sends harmless signals and
//! undoes what it made.

mod buffers;
mod files;
mod limits;
mod network;
mod privileges;
mod processes;

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;

use dreamcore_wire::attack::{Attack, Part, Report, RunsAs};
use dreamcore_wire::line;
use serde::Serialize;

fn main() -> ExitCode {
    let arg = std::env::args().nth(1).unwrap_or_default();
    let done = match Part::from_arg(&arg) {
        Some(Part::Attacker) => attack_all(),
        Some(Part::Victim) => processes::wait_for_signal(),
        Some(Part::WhoAmI) => answer(&RunsAs(nix::unistd::geteuid().as_raw())),
        None => Err(io::ErrorKind::InvalidInput.into()),
    };
    done.map_or_else(|error| complain(&error), |()| ExitCode::SUCCESS)
}

#[allow(clippy::print_stderr, reason = "the worker reads it and says why there is no proof")]
fn complain(error: &io::Error) -> ExitCode {
    eprintln!("dreamcore-probe: {error}");
    ExitCode::FAILURE
}

fn attack_all() -> io::Result<()> {
    for attack in io::stdin().lock().lines() {
        let attack: Attack = line::decode(attack?.as_bytes())?;
        answer(&attempt(&attack))?;
    }
    Ok(())
}

fn answer(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(&line::encode(value)?)?;
    out.flush()
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
        Attack::OpenPipes { count } => buffers::open_pipes(*count),
        Attack::WidenPipe { bytes } => buffers::widen_pipe(*bytes),
        Attack::WidenSocket { option, bytes } => buffers::widen_socket(*option, *bytes),
        Attack::TakeMemory { bytes } => limits::take_memory(*bytes),
    }
}

/// The report for a result.
fn report<T>(result: io::Result<T>, detail: impl FnOnce(T) -> String) -> Report {
    match result {
        Ok(value) => Report::succeeded(detail(value)),
        Err(error) => Report::refused(&error),
    }
}
