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
    /// A part that begins with a dot: `.git`, `.claude`, `.env`, …; or another spelling of `.git`.
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
        _ if part.starts_with('.') || is_short_git(part) => Err(PathError::Hidden),
        _ if part.starts_with(['\u{200c}', '\u{200d}']) => Err(PathError::BadCharacter),
        _ if part.len() > MAX_NAME_BYTES => Err(PathError::TooLong),
        _ if part.ends_with('.') || part.trim() != part => Err(PathError::Padded),
        _ => Ok(()),
    }
}

/// `C:`, `c:\…`: meaningless on Linux, but a request that says it is not asking for a project file.
fn has_drive_letter(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// `.git` as NTFS abbreviates it, which git refuses to keep on any system, also before a stream.
fn is_short_git(part: &str) -> bool {
    let head = part.as_bytes().get(..5);
    let is_abbreviation = head.is_some_and(|head| head.eq_ignore_ascii_case(b"git~1"));
    is_abbreviation && part.as_bytes().get(5).is_none_or(|next| *next == b':')
}

/// Control characters end log lines and terminals; a backslash is a separator to other programs;
/// bidirectional controls, line separators and invisible characters make a path look like another
/// one. Only the two joiners are needed within words and emoji; before a name they hide a dot.
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
super::text_schema!(RequestPath, {
    "type": "string",
    "description": "A relative path with `/` between its parts. No part is empty or begins or ends with a dot.",
    "minLength": 1,
    "maxLength": MAX_PATH_BYTES,
    "pattern": "^[^/~\\\\\\x00-\\x1f\\x7f][^\\\\\\x00-\\x1f\\x7f]*$",
});

#[cfg(test)]
mod tests;
