//! What can be set of the model APIs.

use std::time::Duration;

use crate::types::Secret;

/// The settings of all model APIs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Anthropic API, for the CLI.
    pub anthropic: Anthropic,
    /// The Gemini API.
    pub gemini: Gemini,
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
    /// Names of the API's betas that a run may ask for.
    pub allowed_betas: Vec<String>,
}

/// The Gemini API.
#[derive(Debug, Clone)]
pub struct Gemini {
    /// The real key.
    pub api_key: Option<Secret>,
    /// Base URL without a trailing slash.
    pub base_url: String,
}
