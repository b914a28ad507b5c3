//! Paths inside a project.
//!
//! A path is refused, never cleaned: what a client asked for is either exactly what it gets or an
//! error. The rules hold for paths from clients and for names that the sandbox left behind alike.

use std::fmt;
use std::str::FromStr;

/// Longest path in bytes of UTF-8, separators included.
pub const MAX_PATH_BYTES: usize = 1024;
/// Longest part (one name between separators) in bytes; what Linux file systems allow.
pub const MAX_NAME_BYTES: usize = 255;
/// Most parts in one path.
pub const MAX_DEPTH: usize = 32;

/// The one hidden name that a client may read, write and delete: the relay's state, at the top of
/// a project. It is never listed, versioned or shown to the agent.
pub const STYLE_STATE_FILE: &str = ".style-pending.json";

/// Why a text is not a path inside a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing at all.
    #[error("path must not be empty")]
    Empty,
    /// Over [`MAX_PATH_BYTES`], or one part over [`MAX_NAME_BYTES`].
    #[error("path is too long (at most 1024 bytes, 255 a part)")]
    TooLong,
    /// Over [`MAX_DEPTH`] parts.
    #[error("path is too deep (at most 32 parts)")]
    TooDeep,
    /// Begins with `/`, `~` or a drive letter.
    #[error("path must be relative to the project")]
    NotRelative,
    /// `a//b`, `a/`.
    #[error("path must not have an empty part")]
    EmptyPart,
    /// `.` or `..` as a part.
    #[error("path must not contain '.' or '..' as a part")]
    DotPart,
    /// A part that begins with a dot: `.git`, `.claude`, `.env`, …
    #[error("path must not contain a hidden name (leading dot)")]
    Hidden,
    /// A part that ends in a dot or in white space, or begins with white space.
    #[error("path must not have a part with a trailing dot or with white space at its ends")]
    Padded,
    /// NUL, another control character, a backslash, or an invisible character that changes how
    /// the path is displayed.
    #[error("path contains a character that is not allowed")]
    BadCharacter,
}

/// A relative path of visible names, safe to walk component by component.
///
/// Holds for every value: non-empty UTF-8, `/`-separated, no part that is empty, `.`, `..` or
/// begins with a dot, no control character, no backslash, within the limits above.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectPath(String);

impl ProjectPath {
    /// The whole path, as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names from the top down; never empty.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last name.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The path of `name` inside this folder, if that is a valid path too.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        format!("{}/{name}", self.0).parse()
    }
}

impl FromStr for ProjectPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        if text.starts_with(['/', '~']) || has_drive_letter(text) {
            return Err(PathError::NotRelative);
        }
        if text.chars().any(is_forbidden) {
            return Err(PathError::BadCharacter);
        }
        let mut depth = 0;
        for part in text.split('/') {
            check_part(part)?;
            depth += 1;
        }
        if depth > MAX_DEPTH {
            return Err(PathError::TooDeep);
        }
        Ok(Self(text.to_owned()))
    }
}

fn check_part(part: &str) -> Result<(), PathError> {
    match part {
        "" => Err(PathError::EmptyPart),
        "." | ".." => Err(PathError::DotPart),
        _ if part.starts_with('.') => Err(PathError::Hidden),
        _ if part.len() > MAX_NAME_BYTES => Err(PathError::TooLong),
        _ if part.ends_with('.') || part.trim() != part => Err(PathError::Padded),
        _ => Ok(()),
    }
}

/// `C:`, `c:\…`: meaningless on Linux, but a request that says it is not asking for a project file.
fn has_drive_letter(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// Control characters end log lines and terminals; a backslash is a separator to other programs;
/// the bidirectional controls, line separators and U+FEFF make a path look like another one.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\\' | '\u{061c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
}

impl fmt::Display for ProjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for ProjectPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

super::deserialize_through_from_str!(ProjectPath);

/// What a client may name in a request: a visible file, or the relay's hidden state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestPath {
    /// An ordinary file of the project.
    File(ProjectPath),
    /// [`STYLE_STATE_FILE`] at the top of the project.
    StyleState,
}

impl RequestPath {
    /// The whole path, as sent.
    pub fn as_str(&self) -> &str {
        match self {
            Self::File(path) => path.as_str(),
            Self::StyleState => STYLE_STATE_FILE,
        }
    }
}

impl FromStr for RequestPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text == STYLE_STATE_FILE {
            return Ok(Self::StyleState);
        }
        text.parse().map(Self::File)
    }
}

super::deserialize_through_from_str!(RequestPath);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<ProjectPath, PathError> {
        text.parse()
    }

    #[test]
    fn accepts_what_games_are_made_of() {
        for text in [
            "index.html",
            "assets/player sprite.png",
            "画像/背景.png",
            "か\u{3099}.png",
            "a/b/c/d.js",
            "file..name.js",
            "etc/passwd",
            "-rf",
            "%2e%2e",
            "a\u{3000}b.txt",
            "node:fs.js",
            "emoji👨‍👩‍👧.png",
        ] {
            assert_eq!(parse(text).map(|p| p.as_str().to_owned()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn refuses_each_kind_with_its_own_reason() {
        let long_name = "a".repeat(MAX_NAME_BYTES + 1);
        let long_path = "a/".repeat(MAX_PATH_BYTES);
        let deep = ["a"; MAX_DEPTH + 1].join("/");
        for (text, why) in [
            ("", PathError::Empty),
            (long_name.as_str(), PathError::TooLong),
            (long_path.as_str(), PathError::TooLong),
            (deep.as_str(), PathError::TooDeep),
            ("/etc/passwd", PathError::NotRelative),
            ("~/x", PathError::NotRelative),
            ("C:/x", PathError::NotRelative),
            ("a//b", PathError::EmptyPart),
            ("a/", PathError::EmptyPart),
            ("..", PathError::DotPart),
            ("a/../b", PathError::DotPart),
            ("./a", PathError::DotPart),
            (".git/config", PathError::Hidden),
            ("a/.env", PathError::Hidden),
            ("...", PathError::Hidden),
            (".style-pending.json", PathError::Hidden),
            ("a.", PathError::Padded),
            ("a /b", PathError::Padded),
            (" a", PathError::Padded),
            ("a\u{3000}", PathError::Padded),
            ("a\0b", PathError::BadCharacter),
            ("a\nb", PathError::BadCharacter),
            ("a\u{7f}", PathError::BadCharacter),
            ("a\u{85}b", PathError::BadCharacter),
            ("..\\..\\x", PathError::BadCharacter),
            ("gnp.\u{202e}html", PathError::BadCharacter),
        ] {
            assert_eq!(parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn only_the_exact_state_file_is_the_exception() {
        assert_eq!(".style-pending.json".parse(), Ok(RequestPath::StyleState));
        for text in ["a/.style-pending.json", ".Style-pending.json", ".style-pending.json/x"] {
            assert!(text.parse::<RequestPath>().is_err(), "{text}");
        }
    }

    #[test]
    fn json_goes_through_the_same_check() {
        assert!(serde_json::from_str::<ProjectPath>("\"a/b\"").is_ok());
        assert!(serde_json::from_str::<ProjectPath>("\"a/\\u002e\\u002e/b\"").is_err());
    }

    proptest! {
        #[test]
        fn whatever_parses_keeps_every_promise(text in "[a-zA-Z./\\\\~: \u{0}-\u{1f}\u{202e}あ]{0,40}") {
            if let Ok(path) = parse(&text) {
                prop_assert_eq!(path.as_str(), text.as_str());
                for part in path.parts() {
                    prop_assert!(!part.is_empty() && !part.starts_with('.') && part.len() <= MAX_NAME_BYTES);
                    prop_assert!(!part.contains(['\\', '\0', '\n']));
                }
                // The standard library agrees that it only ever goes down.
                let mut components = std::path::Path::new(path.as_str()).components();
                prop_assert!(components.all(|c| matches!(c, std::path::Component::Normal(_))));
            }
        }

        #[test]
        fn plain_names_always_parse(parts in proptest::collection::vec("[a-z0-9_-]{1,20}", 1..8)) {
            let text = parts.join("/");
            prop_assert!(parse(&text).is_ok());
        }

        #[test]
        fn never_panics(text in any::<String>()) {
            let parsed = text.parse::<RequestPath>();
            prop_assert!(parsed.is_err() || !text.is_empty());
        }
    }
}
