//! Names of skills: one folder each below the global skills folder.

use std::fmt;
use std::str::FromStr;

/// Longest name in bytes.
pub const MAX_SKILL_NAME_BYTES: usize = 64;

/// Why a text is not a skill's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "skill name must be 1 to 64 letters, digits, '-' or '_', beginning with a letter, a digit or '_'"
)]
pub struct SkillNameError;

/// A skill's name: ASCII letters, digits, `-` and `_`, so it is a safe folder name as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SkillName(String);

impl SkillName {
    /// The name, which is the folder's name too.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SkillName {
    type Err = SkillNameError;

    fn from_str(text: &str) -> Result<Self, SkillNameError> {
        let starts_well =
            text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
        let all_allowed = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if starts_well && all_allowed && text.len() <= MAX_SKILL_NAME_BYTES {
            Ok(Self(text.to_owned()))
        } else {
            Err(SkillNameError)
        }
    }
}

impl fmt::Display for SkillName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

super::deserialize_through_from_str!(SkillName);
super::text_schema!(SkillName, {
    "type": "string",
    "pattern": "^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$",
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_skills_and_refuses_the_rest() {
        for text in ["p5js-setup", "threejs_setup", "2d", "A", "_shared", "_"] {
            assert!(text.parse::<SkillName>().is_ok(), "{text}");
        }
        let long = "a".repeat(MAX_SKILL_NAME_BYTES + 1);
        for text in ["", "-x", "a/b", "..", "a b", "スキル", "a.md", "a\n", long.as_str()] {
            assert_eq!(text.parse::<SkillName>(), Err(SkillNameError), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_a_plain_folder_name(text in any::<String>()) {
            if let Ok(name) = text.parse::<SkillName>() {
                prop_assert!(!name.as_str().contains(['/', '.', '\0']));
                prop_assert!(name.as_str().is_ascii());
            }
        }
    }
}
