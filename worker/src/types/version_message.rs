//! The message of a version.

use std::str::FromStr;

/// The longest message, in bytes of UTF-8.
pub const MAX_VERSION_MESSAGE_BYTES: usize = 8 * 1024;

/// Why a text cannot be the message of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VersionMessageError {
    /// The text has more than [`MAX_VERSION_MESSAGE_BYTES`].
    #[error("message is too long (at most 8 KiB)")]
    TooLong,
    /// The text contains NUL, at which git would cut it.
    #[error("message must not contain NUL")]
    Nul,
}

/// The message of a version: any text of bounded length without NUL and without white space at its
/// ends. If it is empty, the version gets the default message for its kind of change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionMessage(String);

impl VersionMessage {
    /// The text, or `default` if it is empty.
    pub fn or(self, default: &str) -> String {
        if self.0.is_empty() { default.to_owned() } else { self.0 }
    }
}

impl FromStr for VersionMessage {
    type Err = VersionMessageError;

    fn from_str(text: &str) -> Result<Self, VersionMessageError> {
        if text.len() > MAX_VERSION_MESSAGE_BYTES {
            return Err(VersionMessageError::TooLong);
        }
        if text.contains('\0') {
            return Err(VersionMessageError::Nul);
        }
        Ok(Self(text.trim().to_owned()))
    }
}

super::deserialize_through_from_str!(VersionMessage);
super::text_schema!(VersionMessage, {
    "type": "string",
    "maxLength": MAX_VERSION_MESSAGE_BYTES,
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_text_and_stands_for_the_default_without_one() {
        let message: VersionMessage = " 背景を変更\n\n詳しく ".parse().unwrap();
        assert_eq!(message.or("x"), "背景を変更\n\n詳しく");
        assert_eq!(" \n".parse::<VersionMessage>().unwrap().or("更新"), "更新");
        assert_eq!("a\0b".parse::<VersionMessage>(), Err(VersionMessageError::Nul));
        let long = "a".repeat(MAX_VERSION_MESSAGE_BYTES + 1);
        assert_eq!(long.parse::<VersionMessage>(), Err(VersionMessageError::TooLong));
    }
}
