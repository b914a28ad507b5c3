//! Model APIs: who answers, how the worker asks, and the broker that lends the CLI a key it never
//! sees.

pub mod broker;
pub mod client;
mod failure;
mod google;
pub mod messages;
mod providers;
mod redact;
mod settings;

pub use failure::ApiFailure;
pub use providers::Providers;
pub use settings::{
    Anthropic, Federation, Gemini, Identity, Lending, ProviderKind, Settings, Subject, Vertex,
};
