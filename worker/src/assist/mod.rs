//! Short questions to a model: the intent of a message, the skills for it, an answer in words, and
//! the introduction of a published game.
//!
//! The worker asks the model itself, without starting a CLI. Where an answer has a form, the model
//! must call a tool with that form, and this module keeps every limit of the contract whatever the
//! model returns. The text of a user is always data: it stands as a JSON string in a turn of the
//! user, never in the instructions, and cannot end that string.
//!
//! Intent and skills can also be found without a model. That answer is used if the model cannot be
//! asked or does not answer in time, because a relay without an answer would let its user wait for
//! ever.

pub mod chat;
mod clip;
pub mod conversation;
pub mod intent;
pub mod publish;
mod settings;
pub mod skills;
mod words;

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use settings::Settings;

use crate::models::ApiFailure;
use crate::models::messages::{Answer, Form, Messages, NoAnswer, Question, Role, Turn};

/// Asks short questions. Clones share one client.
#[derive(Debug, Clone)]
pub struct Assist {
    messages: Messages,
    settings: Arc<Settings>,
}

impl Assist {
    /// Makes an `Assist` that asks the model API through `messages`.
    pub fn new(messages: Messages, settings: Settings) -> Self {
        Self { messages, settings: Arc::new(settings) }
    }

    /// Asks a question whose answer is a filled form, and parses the form as `T`.
    async fn fill<T: DeserializeOwned>(
        &self,
        question: Question,
        patience: Duration,
    ) -> Result<T, NoAnswer> {
        match self.messages.ask(&question, patience).await? {
            Answer::Form(form) => serde_json::from_value(form).map_err(|error| {
                NoAnswer::new(
                    ApiFailure::Refused,
                    format!("the form is filled in wrongly: {error}"),
                )
            }),
            Answer::Text(_) => Err(NoAnswer::new(ApiFailure::Refused, "text instead of a form")),
        }
    }
}

/// A question whose only turn is a JSON object with the user's texts.
fn about_data(model: &str, system: &str, data: &Value, max_tokens: u32, form: Form) -> Question {
    Question {
        model: model.to_owned(),
        system: system.to_owned(),
        turns: vec![Turn { role: Role::User, content: data.to_string() }],
        max_tokens,
        form: Some(form),
    }
}
