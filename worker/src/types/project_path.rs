//! Paths inside a project.
//!
//! A path that breaks a rule is refused and never changed into one that does not: a client gets
//! exactly the file that it asked for, or an error. The same rules apply to paths in requests and
//! to the names of files that a run leaves.

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
    /// The text is empty.
    #[error("path must not be empty")]
    Empty,
    /// The path has more than [`MAX_PATH_BYTES`], or a part has more than [`MAX_NAME_BYTES`].
    #[error("path is too long (at most 1024 bytes, 255 a part)")]
    TooLong,
    /// The path has more than [`MAX_DEPTH`] parts.
    #[error("path is too deep (at most 32 parts)")]
    TooDeep,
    /// The path begins with `/`, `~` or a drive letter.
    #[error("path must be relative to the project")]
    NotRelative,
    /// A part is empty, as in `a//b` or `a/`.
    #[error("path must not have an empty part")]
    EmptyPart,
    /// A part is `.` or `..`.
    #[error("path must not contain '.' or '..' as a part")]
    DotPart,
    /// A part begins with a dot (`.git`, `.claude`, `.env`, …) or is another spelling of `.git`.
    #[error("path must not contain a hidden name (leading dot)")]
    Hidden,
    /// A part ends with a dot, or begins or ends with white space.
    #[error("path must not have a part with a trailing dot or with white space at its ends")]
    Padded,
    /// The path contains a control character, a backslash, or an invisible character that changes
    /// how the path is displayed.
    #[error("path contains a character that is not allowed")]
    BadCharacter,
}

/// A relative path of visible names, safe to walk component by component.
///
/// Every value is non-empty UTF-8 within the limits above. Its parts are separated by `/`; none is
/// empty, `.` or `..` or begins with a dot, and none contains a control character or a backslash.
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
        _ if part.starts_with('.') || is_short_git(part) => Err(PathError::Hidden),
        _ if part.starts_with(['\u{200c}', '\u{200d}']) => Err(PathError::BadCharacter),
        _ if part.len() > MAX_NAME_BYTES => Err(PathError::TooLong),
        _ if part.ends_with('.') || part.trim() != part => Err(PathError::Padded),
        _ => Ok(()),
    }
}

/// Whether a path begins with a drive letter (`C:`, `c:\…`). Linux has none, but a request with one
/// does not mean a file of a project.
fn has_drive_letter(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// Whether a name is `.git` in the short form of NTFS, also with the name of a stream behind it.
/// Git refuses to store such a name on every system.
fn is_short_git(part: &str) -> bool {
    let head = part.as_bytes().get(..5);
    let is_abbreviation = head.is_some_and(|head| head.eq_ignore_ascii_case(b"git~1"));
    is_abbreviation && part.as_bytes().get(5).is_none_or(|next| *next == b':')
}

/// Whether a character may not be in a path. Control characters break log lines and terminals,
/// other programs take a backslash for a separator, and bidirectional controls, line separators and
/// invisible characters make a path look like another one. The two joiners are allowed within a
/// name, because words and emoji need them, but not at its beginning, where they would hide a dot.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\\' | '\u{061c}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
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

/// A path that a request may name: a visible file, or the relay's hidden state file.
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
super::text_schema!(RequestPath, {
    "type": "string",
    "description": "A relative path with `/` between its parts. No part is empty or begins or ends with a dot.",
    "minLength": 1,
    "maxLength": MAX_PATH_BYTES,
    "pattern": "^[^/~\\\\\\x00-\\x1f\\x7f][^\\\\\\x00-\\x1f\\x7f]*$",
});

#[cfg(test)]
mod tests;
