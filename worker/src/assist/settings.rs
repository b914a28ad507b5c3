//! The settings of short questions.

use std::time::Duration;

/// The settings of short questions: which models are asked, and how long the worker waits for them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model for quick answers: intent, skills, `chat_haiku` and introductions.
    pub quick_model: String,
    /// The model for careful answers: `chat_sonnet`.
    pub careful_model: String,
    /// How long the worker waits for the intent of a message.
    pub intent_timeout: Duration,
    /// How long the worker waits for the choice of skills.
    pub skills_timeout: Duration,
    /// How long the worker waits for an answer in words.
    pub chat_timeout: Duration,
    /// How long the worker waits for the introduction of a game.
    pub publish_timeout: Duration,
}
