//! What can be set of short questions.

use std::time::Duration;

/// Short questions to a model: which models are asked, and for how long.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model for quick answers: intent, skills, chat, publishing.
    pub quick_model: String,
    /// The model for careful answers.
    pub careful_model: String,
    /// Longest wait for the intent of a message.
    pub intent_timeout: Duration,
    /// Longest wait for the choice of skills.
    pub skills_timeout: Duration,
    /// Longest wait for an answer of the chat.
    pub chat_timeout: Duration,
    /// Longest wait for the introduction of a game.
    pub publish_timeout: Duration,
}
