//! The settings of the model APIs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::types::Secret;

/// The settings of all model APIs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Anthropic API.
    pub anthropic: Anthropic,
    /// Claude on Vertex AI, if it is set.
    pub vertex: Option<Vertex>,
    /// Which of them is asked first, where both are set.
    pub first: ProviderKind,
    /// What a run may use of them.
    pub lending: Lending,
    /// The Gemini API.
    pub gemini: Gemini,
}

impl Settings {
    /// Whether any API for Claude is set.
    pub fn has_provider(&self) -> bool {
        self.anthropic.api_key.is_some() || self.vertex.is_some()
    }
}

/// Who answers in Claude's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderKind {
    /// The Anthropic API.
    Anthropic,
    /// Vertex AI of Google Cloud.
    Vertex,
}

impl ProviderKind {
    /// Its name in settings and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Vertex => "vertex",
        }
    }
}

/// The Anthropic API.
#[derive(Debug, Clone)]
pub struct Anthropic {
    /// The real key; without one this API is not asked.
    pub api_key: Option<Secret>,
    /// Base URL without a trailing slash. Its path may be a secret.
    pub base_url: Secret,
}

/// Claude on Vertex AI.
#[derive(Debug, Clone)]
pub struct Vertex {
    /// The Google Cloud project that pays.
    pub project: String,
    /// The location of the service, `global` or a region.
    pub location: String,
    /// Base URL with the version and without a trailing slash; `None` follows from the location.
    pub base_url: Option<Secret>,
    /// What models are called there, by the names that they have at Anthropic.
    pub models: BTreeMap<String, String>,
    /// By what the worker shows who it is.
    pub identity: Identity,
}

/// By what the worker shows Google who it is.
#[derive(Debug, Clone)]
pub enum Identity {
    /// The key of a service account, as JSON.
    ServiceAccount(Secret),
    /// A token of another identity provider, exchanged for one of Google's.
    Federation(Federation),
}

/// Workload Identity Federation: where and for what an identity token is exchanged.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Federation {
    /// The provider in the workload identity pool.
    pub audience: String,
    /// What kind of token is exchanged.
    pub subject_token_type: String,
    /// The token server.
    pub token_url: String,
    /// Where the exchanged token is turned into one of a service account; `None` uses it as it is.
    pub service_account_impersonation_url: Option<String>,
    /// Where the identity token comes from.
    #[serde(skip)]
    pub subject: Subject,
}

/// Where an identity token comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Subject {
    /// Nowhere.
    #[default]
    Missing,
    /// A token that was handed over at start.
    Given(Secret),
    /// A file that somebody keeps fresh; read for every exchange.
    File(PathBuf),
}

/// What one run may use of a model API, and how long the worker waits for one.
#[derive(Debug, Clone)]
pub struct Lending {
    /// Longest wait for the first byte of an answer.
    pub first_byte_timeout: Duration,
    /// How long a silence within a streamed answer may last.
    pub stall_timeout: Duration,
    /// How long a run goes on while the API does nothing but fail.
    pub give_up: Duration,
    /// How many messages one run may ask for.
    pub max_requests: u64,
    /// How many tokens one run may use, input and output together.
    pub max_tokens: u64,
    /// The beginnings of the names of the models that a run may use.
    pub allowed_models: Vec<String>,
    /// The names of the API's betas that a run may ask for.
    pub allowed_betas: Vec<String>,
}

/// The Gemini API.
#[derive(Debug, Clone)]
pub struct Gemini {
    /// The real key.
    pub api_key: Option<Secret>,
    /// The base URL, without a trailing slash.
    pub base_url: String,
}
