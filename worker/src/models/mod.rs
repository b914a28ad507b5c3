//! Model APIs: the broker, through which runs use the API without getting the key, and the worker's
//! own questions.

pub mod broker;
pub mod client;
pub mod messages;
mod settings;

pub use settings::{Anthropic, Gemini, Settings};
