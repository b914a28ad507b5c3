//! Reads and checks the values of settings, and collects all mistakes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::{SETTINGS, Setting};
use super::{LogFormat, MIN_SECRET_CHARS};
use crate::models::{Federation, ProviderKind, Subject};
use crate::runs::ConfinementPolicy;
use crate::types::Secret;

/// A mistake in one setting. It never contains the value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// The name of the variable.
    pub name: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// All mistakes of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<SettingError>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "setting is" } else { "settings are" };
        write!(f, "{} {plural} wrong:", self.0.len())?;
        for error in &self.0 {
            write!(f, "\n  {}: {}", error.name, error.problem)?;
        }
        write!(f, "\nSee dreamcore-worker --help for every setting.")
    }
}

impl std::error::Error for ConfigError {}

/// The result of parsing a value. The text says what would be right.
type Parsed<T> = Result<T, String>;

pub(super) struct Reader {
    vars: BTreeMap<String, String>,
    errors: Vec<SettingError>,
}

impl Reader {
    pub(super) fn new(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut reader = Self { vars: BTreeMap::new(), errors: Vec::new() };
        for (name, value) in vars {
            let Ok(name) = name.into_string() else {
                continue;
            };
            let known = SETTINGS.iter().any(|s| s.name == name);
            if name.starts_with("DREAMCORE_") && !known {
                reader.error(&name, "is not a setting of this version (a typing mistake?)");
            }
            // HOME is not a setting, but the default scratch folder of an ordinary user is below
            // it.
            if known || name == "HOME" {
                match value.into_string() {
                    Ok(value) => drop(reader.vars.insert(name, value)),
                    Err(_) => reader.error(&name, "must be UTF-8"),
                }
            }
        }
        reader
    }

    /// Whether one of these settings is wrong.
    pub(super) fn has_errors_of(&self, settings: &[&Setting]) -> bool {
        self.errors.iter().any(|error| settings.iter().any(|setting| setting.name == error.name))
    }

    pub(super) fn error(&mut self, name: &str, problem: impl Into<String>) {
        self.errors.push(SettingError { name: name.to_owned(), problem: problem.into() });
    }

    pub(super) fn default_scratch_dir(&self) -> PathBuf {
        match self.vars.get("HOME") {
            Some(home) if !nix::unistd::geteuid().is_root() && home.starts_with('/') => {
                PathBuf::from(home).join(".cache/dreamcore/scratch")
            }
            _ => PathBuf::from("/var/lib/dreamcore/scratch"),
        }
    }

    /// Reads a setting that may be missing. An empty value counts as missing.
    pub(super) fn optional<T: Value>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        // A setting is parsed as a `Secret` exactly if the table marks it as one.
        debug_assert_eq!(setting.is_secret, T::IS_SECRET, "{}", setting.name);
        let given = self.vars.get(setting.name).map(String::as_str).filter(|t| !t.is_empty());
        match parse(given.or(setting.default)?) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.error(setting.name, problem);
                None
            }
        }
    }

    /// Reads a setting that must have a value. After a mistake this returns a placeholder, which is
    /// never used, because [`Reader::finish`] then returns an error.
    pub(super) fn required<T: Value>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> T {
        let before = self.errors.len();
        let value = self.optional(setting, parse);
        if value.is_none() && self.errors.len() == before {
            self.error(setting.name, "is required");
        }
        value.unwrap_or_else(T::placeholder)
    }

    pub(super) fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.errors.is_empty() { Ok(value) } else { Err(ConfigError(self.errors)) }
    }
}

/// A type that a setting can have.
pub(super) trait Value {
    /// Whether values of this type must never be shown.
    const IS_SECRET: bool = false;

    /// A value to go on with after a mistake, so that the other settings are checked too.
    fn placeholder() -> Self;
}

impl Value for Secret {
    const IS_SECRET: bool = true;

    fn placeholder() -> Self {
        Self::default()
    }
}

macro_rules! placeholder {
    ($($type:ty => $value:expr;)*) => {
        $(impl Value for $type {
            fn placeholder() -> Self {
                $value
            }
        })*
    };
}

placeholder! {
    SocketAddr => SocketAddr::from(([127, 0, 0, 1], 0));
    PathBuf => PathBuf::new();
    Duration => Duration::ZERO;
    String => String::new();
    Vec<String> => Vec::new();
    usize => 0;
    u64 => 0;
    LogFormat => LogFormat::Auto;
    ConfinementPolicy => ConfinementPolicy::Strict;
    ProviderKind => ProviderKind::Anthropic;
    BTreeMap<String, String> => BTreeMap::new();
    Federation => Federation {
        audience: String::new(),
        subject_token_type: String::new(),
        token_url: String::new(),
        service_account_impersonation_url: None,
        subject: Subject::Missing,
    };
}

pub(super) fn socket_addr(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| "must be an address with a port, for example 0.0.0.0:8000".into())
}

pub(super) fn endpoint_name(text: &str) -> Parsed<String> {
    let name = text.trim_start_matches('/');
    let well_formed =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b"_-".contains(&b));
    // The router knows the endpoints, and checks at start whether this one exists.
    if well_formed {
        Ok(name.replace('-', "_"))
    } else {
        Err("must be the name of an endpoint, for example generate_game".into())
    }
}

pub(super) fn caller_secret(text: &str) -> Parsed<Secret> {
    if text.chars().count() < MIN_SECRET_CHARS {
        return Err(format!(
            "must have at least {MIN_SECRET_CHARS} characters; make one with: openssl rand -hex 32"
        ));
    }
    header_secret(text)
}

pub(super) fn header_secret(text: &str) -> Parsed<Secret> {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(Secret::new(text))
    } else {
        Err("must be printable ASCII without spaces, because it is sent in a header".into())
    }
}

pub(super) fn absolute_path(text: &str) -> Parsed<PathBuf> {
    let path = PathBuf::from(text);
    let plain = path
        .components()
        .all(|c| matches!(c, std::path::Component::RootDir | std::path::Component::Normal(_)));
    if path.is_absolute() && plain && !text.contains('\0') {
        Ok(path)
    } else {
        Err("must be an absolute path without '..'".into())
    }
}

/// The kernel takes no longer path for a Unix socket, in bytes.
const MAX_SOCKET_PATH_BYTES: usize = 107;

pub(super) fn socket_path(text: &str) -> Parsed<PathBuf> {
    if text.len() > MAX_SOCKET_PATH_BYTES {
        return Err(format!(
            "must have at most {MAX_SOCKET_PATH_BYTES} bytes, as every Unix socket"
        ));
    }
    absolute_path(text)
}

pub(super) fn model_name(text: &str) -> Parsed<String> {
    let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._:@[]".contains(&b);
    if starts_well && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("must be a model's name, for example claude-sonnet-4-5".into())
    }
}

pub(super) fn model_names(text: &str) -> Parsed<Vec<String>> {
    text.split(',').map(|name| model_name(name.trim())).collect()
}

pub(super) fn beta_names(text: &str) -> Parsed<Vec<String>> {
    let is_name = |name: &str| {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !name.is_empty() && name.bytes().all(allowed)
    };
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().all(|name| is_name(name)) {
        Ok(names)
    } else {
        Err("must be names of betas, for example interleaved-thinking-2025-05-14".into())
    }
}

pub(super) fn seconds(text: &str) -> Parsed<Duration> {
    // No wait of the worker is longer than a day, so more is a typing mistake.
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 86_400.0 => Ok(Duration::from_secs_f64(value)),
        _ => Err("must be a number of seconds above 0 and at most 86400".into()),
    }
}

pub(super) fn count(text: &str, range: RangeInclusive<usize>) -> Parsed<usize> {
    text.parse()
        .ok()
        .filter(|value| range.contains(value))
        .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
}

pub(super) fn positive(text: &str) -> Parsed<u64> {
    text.parse()
        .ok()
        .filter(|value| *value > 0)
        .ok_or_else(|| "must be a whole number above 0".into())
}

pub(super) fn at_least(text: &str, least: u64) -> Parsed<u64> {
    text.parse()
        .ok()
        .filter(|value| *value >= least)
        .ok_or_else(|| format!("must be a whole number, at least {least}"))
}

pub(super) fn base_url(text: &str) -> Parsed<String> {
    let url = reqwest::Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    match url {
        Some(url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
        None => Err("must be an http:// or https:// URL without user, query or fragment".into()),
    }
}

pub(super) fn base_urls(text: &str) -> Parsed<Vec<String>> {
    text.split(',').map(|url| base_url(url.trim())).collect()
}

/// The same for an address whose path may be a secret.
pub(super) fn secret_base_url(text: &str) -> Parsed<Secret> {
    base_url(text).map(Secret::new)
}

pub(super) fn provider(text: &str) -> Parsed<ProviderKind> {
    let kinds = [ProviderKind::Anthropic, ProviderKind::Vertex];
    kinds
        .into_iter()
        .find(|kind| kind.name() == text)
        .ok_or_else(|| "must be anthropic or vertex".into())
}

pub(super) fn log_filter(text: &str) -> Parsed<String> {
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("must be error, warn, info, debug, trace or a tracing filter".into()),
    }
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err("must be auto, json or text".into()),
    }
}

pub(super) fn confinement_policy(text: &str) -> Parsed<ConfinementPolicy> {
    match text {
        "strict" => Ok(ConfinementPolicy::Strict),
        "without-network-isolation" => Ok(ConfinementPolicy::WithoutNetworkIsolation),
        "without-guarantees" => Ok(ConfinementPolicy::WithoutGuarantees),
        _ => Err("must be strict, without-network-isolation or without-guarantees".into()),
    }
}
