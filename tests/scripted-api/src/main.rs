//! The scripted API as a program: for the offline demo, for benchmarks, and for tests that run
//! inside a sandbox where a test's own process is not.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use scripted_api::{Options, ScriptSet, ScriptedApi, builtin};
use tokio::signal::unix::{SignalKind, signal};

/// A scripted, Anthropic-compatible model API. Its answers are written beforehand: there is no
/// model behind it, whatever is asked.
///
/// Put [script:NAME] into a prompt to choose a script.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8788")]
    listen: SocketAddr,
    /// A JSON file with scripts, in place of the built-in ones
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// The only x-api-key that is accepted
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Print the names of the scripts and what they do, and exit
    #[arg(long)]
    list: bool,
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "where a program says why it stops")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripted-api: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a person who starts it must not take it for a model")]
async fn run(arguments: Arguments) -> io::Result<()> {
    let scripts = match &arguments.script {
        None => builtin::scripts(),
        Some(path) => {
            let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let json = std::fs::read_to_string(path)
                .map_err(|error| io::Error::new(error.kind(), named(&error)))?;
            ScriptSet::from_json(&json).map_err(|error| io::Error::other(named(&error)))?
        }
    };
    if arguments.list {
        let mut out = io::stdout().lock();
        for (name, script) in scripts.iter() {
            let mark = if name == scripts.default_name() { " (default)" } else { "" };
            writeln!(out, "{name}{mark}: {}", script.about)?;
        }
        return Ok(());
    }

    let mut terminated = signal(SignalKind::terminate())?;
    let options =
        Options { listen: arguments.listen, expect_key: arguments.key, ..Options::default() };
    let api = ScriptedApi::start(scripts, options).await?;
    eprintln!("scripted-api: all answers are scripted; none of them comes from a model");
    announce(&api)?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
    }
}

/// Prints the address. The program that started this one waits for the line and reads the port from
/// it.
fn announce(api: &ScriptedApi) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {}", api.base_url())?;
    out.flush()
}
