//! The settings of the model APIs.

use std::time::Duration;

use crate::types::Secret;

/// The settings of all model APIs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The settings of the Anthropic API.
    pub anthropic: Anthropic,
    /// The settings of the Gemini API.
    pub gemini: Gemini,
}

/// The Anthropic API, and how much of it one run may use.
#[derive(Debug, Clone)]
pub struct Anthropic {
    /// The real key. Without one every run ends with `AUTH_ERROR`.
    pub api_key: Option<Secret>,
    /// The base URL, without a trailing slash.
    pub base_url: String,
    /// How long the broker waits for the first byte of an answer.
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
