//! Names of versions: abbreviated or full git commit hashes.

use std::fmt;
use std::str::FromStr;

/// Why a text is not a version id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 7 to 40 hexadecimal digits")]
pub struct VersionIdError;

/// 7 to 40 hexadecimal digits, kept in lower case. Never a branch name, a range or a revision
/// expression, which git would otherwise accept in the same place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VersionId(String);

impl VersionId {
    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VersionId {
    type Err = VersionIdError;

    fn from_str(text: &str) -> Result<Self, VersionIdError> {
        if (7..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(VersionIdError)
        }
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

super::deserialize_through_from_str!(VersionId);
super::text_schema!(VersionId, {
    "type": "string",
    "description": "A version's hash or the beginning of it.",
    "pattern": "^[0-9a-fA-F]{7,40}$",
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_revision_expressions_and_wrong_lengths() {
        for text in ["", "abc123", "HEAD", "HEAD~1", "main", "--all", "abcdef0..1234567", "abcdefg"]
        {
            assert_eq!(text.parse::<VersionId>(), Err(VersionIdError), "{text:?}");
        }
        assert_eq!("a".repeat(41).parse::<VersionId>(), Err(VersionIdError));
    }

    proptest! {
        #[test]
        fn hexadecimal_of_any_case_is_kept_in_lower_case(text in "[0-9a-fA-F]{7,40}") {
            let id = text.parse::<VersionId>().unwrap();
            prop_assert_eq!(id.as_str(), text.to_ascii_lowercase());
        }
    }
}
