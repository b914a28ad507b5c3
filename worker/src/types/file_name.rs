//! Names of files that users upload, as browsers send them.
//!
//! A browser sends the name that a file has on the user's machine: in any script, sometimes with
//! the folders before it. The folders are left out, and that is all that is cleaned; a name that
//! could deceive or do harm is refused. No file on the volume is called by such a name.

use std::fmt;
use std::str::FromStr;

use super::{PathError, ProjectPath};

/// Why a text is not a file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileNameError {
    /// The text is empty, or nothing follows its last separator.
    #[error("must not be empty")]
    Empty,
    /// The name has more than 255 bytes of UTF-8.
    #[error("must have at most 255 bytes")]
    TooLong,
    /// `.`, `..`, a leading or trailing dot, or white space at the ends.
    #[error("must not begin or end with a dot or with white space")]
    Padded,
    /// A control character, or one that changes how the name is displayed.
    #[error("contains a character that is not allowed")]
    BadCharacter,
}

/// The last part of a path: visible, at most 255 bytes, no separator, no control character.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName(String);

impl FileName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = FileNameError;

    fn from_str(text: &str) -> Result<Self, FileNameError> {
        // Old browsers send `C:\fakepath\a.png`, an upload of a folder `sprites/a.png`.
        let name = text.rsplit(['/', '\\']).next().unwrap_or_default();
        let checked: Result<ProjectPath, _> = name.parse();
        match checked {
            Ok(_) => Ok(Self(name.to_owned())),
            Err(PathError::Empty | PathError::EmptyPart) => Err(FileNameError::Empty),
            Err(PathError::TooLong | PathError::TooDeep) => Err(FileNameError::TooLong),
            Err(PathError::DotPart | PathError::Hidden | PathError::Padded) => {
                Err(FileNameError::Padded)
            }
            // `~` and a drive's letter mean something to other programs.
            Err(PathError::NotRelative | PathError::BadCharacter) => {
                Err(FileNameError::BadCharacter)
            }
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for FileName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

super::deserialize_through_from_str!(FileName);
super::text_schema!(FileName, {
    "type": "string",
    "description": "A file's name; folders before it are left out.",
    "minLength": 1,
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<String, FileNameError> {
        text.parse().map(|name: FileName| name.as_str().to_owned())
    }

    #[test]
    fn takes_what_browsers_send() {
        for (sent, name) in [
            ("a.png", "a.png"),
            ("背景 その１.png", "背景 その１.png"),
            ("か\u{3099}.png", "か\u{3099}.png"),
            ("C:\\fakepath\\a.png", "a.png"),
            ("sprites/player/a.png", "a.png"),
            ("/etc/passwd", "passwd"),
            ("../../a.png", "a.png"),
            ("emoji👨‍👩‍👧.png", "emoji👨‍👩‍👧.png"),
            ("a\"b;c=d.png", "a\"b;c=d.png"),
            ("noext", "noext"),
        ] {
            assert_eq!(parse(sent).as_deref(), Ok(name), "{sent:?}");
        }
    }

    #[test]
    fn refuses_what_could_deceive() {
        let long = format!("{}.png", "あ".repeat(84));
        for (sent, why) in [
            ("", FileNameError::Empty),
            ("folder/", FileNameError::Empty),
            (".", FileNameError::Padded),
            ("..", FileNameError::Padded),
            ("a/..", FileNameError::Padded),
            (".htaccess", FileNameError::Padded),
            ("a.png ", FileNameError::Padded),
            ("a.", FileNameError::Padded),
            ("a\r\nX: y", FileNameError::BadCharacter),
            ("a\0.png", FileNameError::BadCharacter),
            ("gnp.\u{202e}html", FileNameError::BadCharacter),
            ("~root", FileNameError::BadCharacter),
            ("C:a.png", FileNameError::BadCharacter),
            (long.as_str(), FileNameError::TooLong),
        ] {
            assert_eq!(parse(sent), Err(why), "{sent:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_one_visible_part(text in any::<String>()) {
            if let Ok(name) = parse(&text) {
                prop_assert!(text.ends_with(&name) && !name.is_empty() && name.len() <= 255);
                prop_assert!(!name.contains(['/', '\\']) && !name.chars().any(char::is_control));
                prop_assert!(!name.starts_with('.'));
                // And is taken again as it is.
                prop_assert_eq!(parse(&name), Ok(name));
            }
        }
    }
}
