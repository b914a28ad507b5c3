//! The prompt of a generation: the text of the user, and what the relay has put around it.

use std::str::FromStr;

/// The longest prompt, in bytes of UTF-8. It is this long because the relay adds the conversation
/// and the game's specification.
pub const MAX_PROMPT_BYTES: usize = 1024 * 1024;

/// Why a text is not a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// The text is empty or only white space. The CLI would fail with a less helpful error.
    #[error("prompt must not be empty")]
    Empty,
    /// The text has more than [`MAX_PROMPT_BYTES`].
    #[error("prompt is too long (at most 1 MiB)")]
    TooLong,
    /// The text contains NUL. No model accepts it, and a C program would cut the text there.
    #[error("prompt must not contain NUL")]
    Nul,
}

/// A non-empty prompt of bounded length. `Debug` shows only its length, so that no log line
/// contains the text of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Prompt(String);

impl Prompt {
    /// The text. Only the model may get it: it must not be logged.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prompt({} bytes)", self.0.len())
    }
}

impl FromStr for Prompt {
    type Err = PromptError;

    fn from_str(text: &str) -> Result<Self, PromptError> {
        if text.len() > MAX_PROMPT_BYTES {
            return Err(PromptError::TooLong);
        }
        if text.trim().is_empty() {
            return Err(PromptError::Empty);
        }
        if text.contains('\0') {
            return Err(PromptError::Nul);
        }
        Ok(Self(text.to_owned()))
    }
}

super::deserialize_through_from_str!(Prompt);
super::text_schema!(Prompt, {
    "type": "string",
    "description": "At most 1 MiB of UTF-8, not only white space.",
    "minLength": 1,
    "maxLength": MAX_PROMPT_BYTES,
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_nothing_too_much_and_nul() {
        assert_eq!("".parse::<Prompt>(), Err(PromptError::Empty));
        assert_eq!(" \n\u{3000}".parse::<Prompt>(), Err(PromptError::Empty));
        assert_eq!("a\0b".parse::<Prompt>(), Err(PromptError::Nul));
        assert_eq!("a".repeat(MAX_PROMPT_BYTES + 1).parse::<Prompt>(), Err(PromptError::TooLong));
        assert!("a".repeat(MAX_PROMPT_BYTES).parse::<Prompt>().is_ok());
    }

    #[test]
    fn debug_does_not_show_the_text() {
        let prompt: Prompt = "ひみつ".parse().unwrap();
        assert_eq!(format!("{prompt:?}"), "Prompt(9 bytes)");
    }

    proptest! {
        #[test]
        fn text_is_kept_as_written(text in "[^\0]*[a-z][^\0]*") {
            let prompt = text.parse::<Prompt>().unwrap();
            prop_assert_eq!(prompt.as_str(), text.as_str());
        }
    }
}
