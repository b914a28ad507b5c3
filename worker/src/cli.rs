//! The command line: arguments, help, the form of the log, and the messages at start.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use dreamcore_worker::app::App;
use dreamcore_worker::config::{Config, LogFormat, SETTINGS};
use tracing_subscriber::EnvFilter;

/// HTTP worker that generates browser games with the Claude CLI in a sandbox and keeps every
/// version of every game.
#[derive(Debug, clap::Parser)]
#[command(version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub(crate) enum Command {
    /// Serve HTTP until SIGTERM or SIGINT.
    Serve,
    /// Attack the sandbox from inside and report what was denied, and by what.
    Doctor {
        /// As JSON instead of a table.
        #[arg(long)]
        json: bool,
        /// Ask each model provider that is set one tiny question as well.
        #[arg(long)]
        live: bool,
    },
}

impl Cli {
    /// Reads the arguments. The help ends with every setting, from the table that reads them.
    pub(crate) fn parse() -> Self {
        let command = Self::command()
            .after_long_help(settings_help())
            .after_help("Settings come from the environment; --help explains each.");
        let matches = command.get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

fn settings_help() -> String {
    let mut text = String::from("Settings, from the environment:\n");
    for setting in SETTINGS {
        let default = setting.default.map_or(String::new(), |value| format!(" [{value}]"));
        let parts = ["\n  ", setting.name, &default, "\n      ", setting.help, "\n"];
        text.extend(parts);
    }
    text
}

/// Sends the log to standard error: text for people on a terminal, JSON for programs elsewhere.
pub(crate) fn init_log(config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::builder().parse(&config.log_filter)?;
    let json = match config.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        // The present span has all fields; a list of all spans would repeat them in every line.
        builder.json().flatten_event(true).with_span_list(false).with_target(false).init();
    } else {
        builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init();
    }
    // The text of a panic may contain data of a user, so only its place is logged.
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
    Ok(())
}

/// The path of the launcher: as configured, or in the folder of this program.
pub(crate) fn launcher_path(config: &Config) -> Result<PathBuf, String> {
    if let Some(path) = &config.confine_bin {
        return Ok(path.clone());
    }
    let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    Ok(own.with_file_name("dreamcore-confine"))
}

/// Logs where the worker listens. The protections are logged later, when the self-test has
/// finished.
pub(crate) fn report_start(app: &App, address: SocketAddr) {
    if !app.settings.models.has_provider() {
        tracing::warn!(
            "neither ANTHROPIC_API_KEY nor DREAMCORE_VERTEX_PROJECT is set; every generation will end with AUTH_ERROR"
        );
    }
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
}

/// Reports an error that ends the program.
#[allow(clippy::print_stderr, reason = "the log may not be up yet")]
pub(crate) fn fail(error: &dyn Display) -> ExitCode {
    eprintln!("dreamcore-worker: {error}");
    ExitCode::FAILURE
}
