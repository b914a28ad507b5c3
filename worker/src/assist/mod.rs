//! Short questions to a model: what a message wants, which skills it needs, an answer in words, and
//! what a published game is introduced with.
//!
//! No CLI is started for them. Where an answer has a form, the model is forced into it, and every limit
//! of the contract is kept here, whatever the model returns. What a user wrote is always data: it stands
//! in a turn of the user as a JSON string, which it cannot close, and never in the instructions.
//!
//! Intent and skills have an answer that needs no model. It stands in when the model cannot be asked
//! or does not answer in time, because a relay that gets no answer lets its user wait for ever.

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

use crate::models::broker::ApiFailure;
use crate::models::messages::{Answer, Form, Messages, NoAnswer, Question, Role, Turn};

/// Asks short questions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Assist {
    messages: Messages,
    settings: Arc<Settings>,
}

impl Assist {
    /// Asks `messages` as `settings` say.
    pub fn new(messages: Messages, settings: Settings) -> Self {
        Self { messages, settings: Arc::new(settings) }
    }

    /// Asks for a filled form and reads it as `T`.
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

/// A question whose only turn is data of the user: a JSON object, whatever its texts contain.
fn about_data(model: &str, system: &str, data: &Value, max_tokens: u32, form: Form) -> Question {
    Question {
        model: model.to_owned(),
        system: system.to_owned(),
        turns: vec![Turn { role: Role::User, content: data.to_string() }],
        max_tokens,
        form: Some(form),
    }
}
