//! All settings, read once from the environment.
//!
//! Each module declares its settings as a struct; this module, which is above all others, fills
//! them in. No other module reads the environment, so tests pass plain values and need no
//! process-wide state. All mistakes are collected and reported together, so that an operator can
//! correct them in one deployment.

mod environment;
mod reader;
mod settings;
mod vertex;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use environment::forget_secrets;
use reader::Reader;
pub use reader::{ConfigError, SettingError};
use settings as s;
pub use settings::{SETTINGS, Setting};

use crate::models::{self, Anthropic, Gemini, Lending};
use crate::store::assets::AssetLimits;
use crate::store::projects::FileLimits;
use crate::store::volume::Link;
use crate::{app, assist, runs, server, store};

/// The shortest secret that is accepted, in characters.
pub const MIN_SECRET_CHARS: usize = 32;

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The settings of the HTTP server.
    pub server: server::Settings,
    /// The settings of the application.
    pub app: app::Settings,
    /// The path of the launcher. `None` means the folder of this program.
    pub confine_bin: Option<PathBuf>,
    /// The filter of the log, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log_filter: String,
    /// The form of the log.
    pub log_format: LogFormat,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object per line.
    Json,
    /// Text for people.
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
        let runs = runs_settings(&mut r);
        let config = Self {
            server: server_settings(&mut r),
            app: app::Settings {
                store: store_settings(&mut r, &runs.scratch_dir),
                models: models_settings(&mut r),
                assist: assist_settings(&mut r),
                runs,
                max_body_bytes: r.required(&s::MAX_BODY_BYTES, |t| reader::count(t, 1..=1 << 30)),
            },
            confine_bin: r.optional(&s::CONFINE_BIN, reader::absolute_path),
            log_filter: r.required(&s::LOG, reader::log_filter),
            log_format: r.required(&s::LOG_FORMAT, reader::log_format),
        };
        r.finish(config)
    }
}

fn server_settings(r: &mut Reader) -> server::Settings {
    server::Settings {
        listen: r.required(&s::LISTEN, reader::socket_addr),
        root_endpoint: r.optional(&s::ROOT_ENDPOINT, reader::endpoint_name),
        secrets: server::Secrets {
            current: r.required(&s::SECRET, reader::caller_secret),
            previous: r.optional(&s::SECRET_PREVIOUS, reader::caller_secret),
        },
        max_connections: r.required(&s::MAX_CONNECTIONS, |t| reader::count(t, 1..=100_000)),
        shutdown_grace: r.required(&s::SHUTDOWN_GRACE_S, reader::seconds),
        peers: r.optional(&s::VOLUME_PEERS, reader::base_urls).unwrap_or_default(),
    }
}

fn store_settings(r: &mut Reader, scratch: &Path) -> store::Settings {
    let commit_timeout = r.required(&s::VOLUME_COMMIT_TIMEOUT_S, reader::seconds);
    let reload_timeout = r.required(&s::VOLUME_RELOAD_TIMEOUT_S, reader::seconds);
    let max_age = r.required(&s::VOLUME_MAX_AGE_S, reader::seconds);
    let socket = r.optional(&s::VOLUME_SOCKET, reader::socket_path);
    let aside = scratch.to_owned();
    store::Settings {
        data_dir: r.required(&s::DATA_DIR, reader::absolute_path),
        link: socket.map(|socket| Link { socket, commit_timeout, reload_timeout, max_age, aside }),
        global_dir: r.required(&s::GLOBAL_DIR, reader::absolute_path),
        files: FileLimits {
            max_file_bytes: r.required(&s::MAX_FILE_BYTES, reader::positive),
            max_project_bytes: r.required(&s::MAX_PROJECT_BYTES, reader::positive),
            max_files: r.required(&s::MAX_FILES, |t| reader::count(t, 1..=1_000_000)),
        },
        assets: AssetLimits {
            max_bytes: r.required(&s::MAX_ASSET_BYTES, reader::positive),
            quota_bytes: r.required(&s::ASSET_QUOTA_BYTES, reader::positive),
            max_count: r.required(&s::MAX_ASSETS, |t| reader::count(t, 1..=10_000)),
            base_url: r.optional(&s::ASSET_BASE_URL, reader::base_url),
        },
    }
}

fn models_settings(r: &mut Reader) -> models::Settings {
    models::Settings {
        anthropic: Anthropic {
            api_key: r.optional(&s::ANTHROPIC_API_KEY, reader::header_secret),
            base_url: r.required(&s::ANTHROPIC_BASE_URL, reader::secret_base_url),
        },
        vertex: vertex::settings(r),
        first: r.required(&s::FIRST_PROVIDER, reader::provider),
        lending: Lending {
            first_byte_timeout: r.required(&s::API_FIRST_BYTE_TIMEOUT_S, reader::seconds),
            stall_timeout: r.required(&s::API_STALL_TIMEOUT_S, reader::seconds),
            give_up: r.required(&s::API_GIVE_UP_S, reader::seconds),
            max_requests: r.required(&s::RUN_MAX_REQUESTS, reader::positive),
            max_tokens: r.required(&s::RUN_MAX_TOKENS, reader::positive),
            allowed_models: r.required(&s::ALLOWED_MODELS, reader::model_names),
            allowed_betas: r.required(&s::ALLOWED_BETAS, reader::beta_names),
        },
        gemini: Gemini {
            api_key: r.optional(&s::GEMINI_API_KEY, reader::header_secret),
            base_url: r.required(&s::GEMINI_BASE_URL, reader::base_url),
        },
    }
}

fn assist_settings(r: &mut Reader) -> assist::Settings {
    assist::Settings {
        quick_model: r.required(&s::QUICK_MODEL, reader::model_name),
        careful_model: r.required(&s::CAREFUL_MODEL, reader::model_name),
        intent_timeout: r.required(&s::INTENT_TIMEOUT_S, reader::seconds),
        skills_timeout: r.required(&s::SKILLS_TIMEOUT_S, reader::seconds),
        chat_timeout: r.required(&s::CHAT_TIMEOUT_S, reader::seconds),
        publish_timeout: r.required(&s::PUBLISH_TIMEOUT_S, reader::seconds),
    }
}

fn runs_settings(r: &mut Reader) -> runs::Settings {
    let default_scratch = r.default_scratch_dir();
    runs::Settings {
        timeout: r.required(&s::RUN_TIMEOUT_S, reader::seconds),
        idle_timeout: r.required(&s::IDLE_TIMEOUT_S, reader::seconds),
        memory_bytes: r.required(&s::RUN_MEMORY_BYTES, |t| reader::at_least(t, 256 << 20)),
        max_processes: r.required(&s::RUN_MAX_PROCESSES, |t| reader::at_least(t, 64)),
        disk_bytes: r.required(&s::RUN_DISK_BYTES, |t| reader::at_least(t, 16 << 20)),
        disk_reserve_bytes: r.required(&s::DISK_RESERVE_BYTES, reader::positive),
        memory_reserve_bytes: r.required(&s::MEMORY_RESERVE_BYTES, reader::positive),
        max_runs: r.required(&s::MAX_RUNS, |t| reader::count(t, 1..=64)),
        queue_timeout: r.required(&s::QUEUE_TIMEOUT_S, reader::seconds),
        scratch_dir: r.optional(&s::SCRATCH_DIR, reader::absolute_path).unwrap_or(default_scratch),
        claude_bin: r.required(&s::CLAUDE_BIN, reader::absolute_path),
        model: r.optional(&s::MODEL, reader::model_name),
        confinement: r.required(&s::CONFINEMENT, reader::confinement_policy),
    }
}

#[cfg(test)]
mod tests;
