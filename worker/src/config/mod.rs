//! Every setting, read once from the environment.
//!
//! Nothing else in the worker reads the environment: the rest gets plain values, so tests need no
//! process-wide state. All mistakes are collected and reported together, because an operator who
//! fixes one variable a deploy has better things to do.

mod environment;
mod reader;
mod secret;
mod settings;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use environment::forget_secrets;
use reader::Reader;
pub use reader::{ConfigError, SettingError};
pub use secret::Secret;
use settings as s;
pub use settings::{SETTINGS, Setting};

/// Shortest secret that is accepted, in characters.
pub const MIN_SECRET_CHARS: usize = 32;

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address and port of the HTTP server.
    pub listen: SocketAddr,
    /// The endpoint that `/` stands for, in either spelling.
    pub root_endpoint: Option<String>,
    /// What callers must present; the second is accepted too while secrets are rotated.
    pub secrets: Secrets,
    /// The volume with all users' projects.
    pub data_dir: PathBuf,
    /// The read-only volume with shared skills.
    pub global_dir: PathBuf,
    /// Local disk for the private copies that runs work on.
    pub scratch_dir: PathBuf,
    /// The Claude CLI.
    pub claude_bin: PathBuf,
    /// The launcher; `None` means beside this program.
    pub confine_bin: Option<PathBuf>,
    /// Model for the CLI; `None` leaves the choice to the CLI.
    pub model: Option<String>,
    /// What must be proven of the confinement before anything is run.
    pub confinement: ConfinementPolicy,
    /// Limits of one run and of all runs.
    pub runs: Runs,
    /// What may come out of a run and stand in a project.
    pub files: FileLimits,
    /// Bytes of the largest request with files in it.
    pub max_body_bytes: usize,
    /// What users may upload, and where it is had from.
    pub assets: AssetLimits,
    /// The model API that the broker forwards to.
    pub anthropic: Anthropic,
    /// Short questions to a model.
    pub assist: Assist,
    /// The Gemini API.
    pub gemini: Gemini,
    /// Most connections at once; more wait in the kernel's queue.
    pub max_connections: usize,
    /// How long runs may go on after a request to stop.
    pub shutdown_grace: Duration,
    /// Filter of the log, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log_filter: String,
    /// Form of the log.
    pub log_format: LogFormat,
}

/// Secrets that callers may present.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// The one in force.
    pub current: Secret,
    /// The one before, while callers move to the new one.
    pub previous: Option<Secret>,
}

/// Limits of runs.
#[derive(Debug, Clone)]
pub struct Runs {
    /// Longest run from request to result.
    pub timeout: Duration,
    /// Longest silence of the CLI.
    pub idle_timeout: Duration,
    /// Memory of all processes of one run together, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads of one run.
    pub max_processes: u64,
    /// What one run may have on the scratch disk, in bytes.
    pub disk_bytes: u64,
    /// What must be left on the scratch disk, in bytes.
    pub disk_reserve_bytes: u64,
    /// Runs at the same time.
    pub max_runs: usize,
    /// Longest wait for a free place before `WORKER_BUSY` or `PROJECT_BUSY`.
    pub queue_timeout: Duration,
}

/// Limits of the files of one project.
#[derive(Debug, Clone, Copy)]
pub struct FileLimits {
    /// Bytes of one file.
    pub max_file_bytes: u64,
    /// Bytes of all files together.
    pub max_project_bytes: u64,
    /// Number of files.
    pub max_files: usize,
}

/// Limits of what users upload.
#[derive(Debug, Clone)]
pub struct AssetLimits {
    /// Bytes of one asset.
    pub max_bytes: u64,
    /// Bytes of all assets of one user.
    pub quota_bytes: u64,
    /// Assets of one user.
    pub max_count: usize,
    /// What the URLs of assets begin with; `None` makes them relative.
    pub base_url: Option<String>,
}

/// The Anthropic API and what one run may use of it.
#[derive(Debug, Clone)]
pub struct Anthropic {
    /// The real key; without one every run ends with `AUTH_ERROR`.
    pub api_key: Option<Secret>,
    /// Base URL without a trailing slash.
    pub base_url: String,
    /// Longest wait for the first byte of an answer.
    pub first_byte_timeout: Duration,
    /// Longest silence within a streamed answer.
    pub stall_timeout: Duration,
    /// How long a run keeps trying while the API only fails.
    pub give_up: Duration,
    /// Requests that one run may make.
    pub max_requests: u64,
    /// Tokens, input and output together, that one run may use.
    pub max_tokens: u64,
    /// Beginnings of the names of models that a run may use.
    pub allowed_models: Vec<String>,
}

/// Short questions to a model: which models are asked, and for how long.
#[derive(Debug, Clone)]
pub struct Assist {
    /// The model for quick answers: intent, skills, chat, publishing.
    pub quick_model: String,
    /// The model for careful answers.
    pub careful_model: String,
    /// Longest wait for the intent of a message.
    pub intent_timeout: Duration,
    /// Longest wait for the choice of skills.
    pub skills_timeout: Duration,
    /// Longest wait for an answer of the chat.
    pub chat_timeout: Duration,
    /// Longest wait for the introduction of a game.
    pub publish_timeout: Duration,
}

/// The Gemini API.
#[derive(Debug, Clone)]
pub struct Gemini {
    /// The real key.
    pub api_key: Option<Secret>,
    /// Base URL without a trailing slash.
    pub base_url: String,
}

/// What must be proven of the confinement. The weaker ones say what they give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfinementPolicy {
    /// Every attack of the self-test is denied.
    Strict,
    /// Attacks on the network may succeed; all others are denied.
    WithoutNetworkIsolation,
    /// Nothing is demanded; what can be applied is applied.
    WithoutGuarantees,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Config {
    /// Reads the settings from the process's environment.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(std::env::vars_os())
    }

    /// Reads the settings from any list of variables.
    pub fn from_vars(
        vars: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut r = Reader::new(vars);
        let default_scratch = r.default_scratch_dir();
        let config = Self {
            listen: r.required(&s::LISTEN, reader::socket_addr),
            root_endpoint: r.optional(&s::ROOT_ENDPOINT, reader::endpoint_name),
            secrets: Secrets {
                current: r.required(&s::SECRET, reader::caller_secret),
                previous: r.optional(&s::SECRET_PREVIOUS, reader::caller_secret),
            },
            data_dir: r.required(&s::DATA_DIR, reader::absolute_path),
            global_dir: r.required(&s::GLOBAL_DIR, reader::absolute_path),
            scratch_dir: r
                .optional(&s::SCRATCH_DIR, reader::absolute_path)
                .unwrap_or(default_scratch),
            claude_bin: r.required(&s::CLAUDE_BIN, reader::absolute_path),
            confine_bin: r.optional(&s::CONFINE_BIN, reader::absolute_path),
            model: r.optional(&s::MODEL, reader::model_name),
            confinement: r.required(&s::CONFINEMENT, reader::confinement_policy),
            runs: Runs {
                timeout: r.required(&s::RUN_TIMEOUT_S, reader::seconds),
                idle_timeout: r.required(&s::IDLE_TIMEOUT_S, reader::seconds),
                memory_bytes: r.required(&s::RUN_MEMORY_BYTES, |t| reader::at_least(t, 256 << 20)),
                max_processes: r.required(&s::RUN_MAX_PROCESSES, |t| reader::at_least(t, 64)),
                disk_bytes: r.required(&s::RUN_DISK_BYTES, |t| reader::at_least(t, 16 << 20)),
                disk_reserve_bytes: r.required(&s::DISK_RESERVE_BYTES, reader::positive),
                max_runs: r.required(&s::MAX_RUNS, |t| reader::count(t, 1..=64)),
                queue_timeout: r.required(&s::QUEUE_TIMEOUT_S, reader::seconds),
            },
            files: FileLimits {
                max_file_bytes: r.required(&s::MAX_FILE_BYTES, reader::positive),
                max_project_bytes: r.required(&s::MAX_PROJECT_BYTES, reader::positive),
                max_files: r.required(&s::MAX_FILES, |t| reader::count(t, 1..=1_000_000)),
            },
            max_body_bytes: r.required(&s::MAX_BODY_BYTES, |t| reader::count(t, 1..=1 << 30)),
            assets: AssetLimits {
                max_bytes: r.required(&s::MAX_ASSET_BYTES, reader::positive),
                quota_bytes: r.required(&s::ASSET_QUOTA_BYTES, reader::positive),
                max_count: r.required(&s::MAX_ASSETS, |t| reader::count(t, 1..=10_000)),
                base_url: r.optional(&s::ASSET_BASE_URL, reader::base_url),
            },
            anthropic: Anthropic {
                api_key: r.optional(&s::ANTHROPIC_API_KEY, reader::header_secret),
                base_url: r.required(&s::ANTHROPIC_BASE_URL, reader::base_url),
                first_byte_timeout: r.required(&s::API_FIRST_BYTE_TIMEOUT_S, reader::seconds),
                stall_timeout: r.required(&s::API_STALL_TIMEOUT_S, reader::seconds),
                give_up: r.required(&s::API_GIVE_UP_S, reader::seconds),
                max_requests: r.required(&s::RUN_MAX_REQUESTS, reader::positive),
                max_tokens: r.required(&s::RUN_MAX_TOKENS, reader::positive),
                allowed_models: r.required(&s::ALLOWED_MODELS, reader::model_names),
            },
            assist: Assist {
                quick_model: r.required(&s::QUICK_MODEL, reader::model_name),
                careful_model: r.required(&s::CAREFUL_MODEL, reader::model_name),
                intent_timeout: r.required(&s::INTENT_TIMEOUT_S, reader::seconds),
                skills_timeout: r.required(&s::SKILLS_TIMEOUT_S, reader::seconds),
                chat_timeout: r.required(&s::CHAT_TIMEOUT_S, reader::seconds),
                publish_timeout: r.required(&s::PUBLISH_TIMEOUT_S, reader::seconds),
            },
            gemini: Gemini {
                api_key: r.optional(&s::GEMINI_API_KEY, reader::header_secret),
                base_url: r.required(&s::GEMINI_BASE_URL, reader::base_url),
            },
            max_connections: r.required(&s::MAX_CONNECTIONS, |t| reader::count(t, 1..=100_000)),
            shutdown_grace: r.required(&s::SHUTDOWN_GRACE_S, reader::seconds),
            log_filter: r.required(&s::LOG, reader::log_filter),
            log_format: r.required(&s::LOG_FORMAT, reader::log_format),
        };
        r.finish(config)
    }
}

#[cfg(test)]
mod tests;
