//! Model APIs: the broker that lends the CLI a key it never sees.

pub mod broker;
pub mod client;
pub mod messages;
mod settings;

pub use settings::{Anthropic, Gemini, Settings};
