//! Names of references: the rules of git, and only the places that the worker uses.

use crate::limits::MAX_REFERENCE_BYTES;

/// The place of branches.
const BRANCHES: &str = "refs/heads/";
/// The places whose references are imported. Remote branches, stashes, notes and replacements are
/// not imported, because the worker never reads them.
const PLACES: [&str; 4] =
    [BRANCHES, "refs/tags/", "refs/dreamcore/versions/", "refs/dreamcore/partial/"];

/// Whether `name` is a well-formed name of a reference that is imported.
pub fn is_reference(name: &str) -> bool {
    name.len() <= MAX_REFERENCE_BYTES
        && PLACES.iter().any(|place| name.strip_prefix(place).is_some_and(is_well_formed))
}

/// Whether `name` is a well-formed name of a branch.
pub fn is_branch(name: &str) -> bool {
    is_reference(name) && name.starts_with(BRANCHES)
}

/// The rules of `git check-ref-format`. A reference is stored as a file under its name, so no part
/// of the name may be empty or begin with a dot.
fn is_well_formed(name: &str) -> bool {
    let is_forbidden = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    let is_part = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && !part.to_ascii_lowercase().ends_with(".lock")
    };
    !name.contains(is_forbidden)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_names() {
        for name in [
            "refs/heads/main",
            "refs/heads/日本語/ブランチ",
            "refs/heads/@",
            "refs/tags/v1.0",
            "refs/dreamcore/versions/0192f0c8-0000-7000-8000-000000000000",
            "refs/dreamcore/partial/x",
        ] {
            assert!(is_reference(name), "{name}");
        }
        assert!(is_branch("refs/heads/main") && !is_branch("refs/tags/main"));
    }

    #[test]
    fn nothing_else_is() {
        let long = format!("refs/heads/{}", "a".repeat(MAX_REFERENCE_BYTES));
        for name in [
            "",
            "HEAD",
            "main",
            "refs/heads",
            "refs/heads/",
            "refs/heads//a",
            "refs/heads/a/",
            "refs/heads/../../config",
            "refs/heads/.a",
            "refs/heads/a.lock",
            "refs/heads/a.LOCK/b",
            "refs/heads/a..b",
            "refs/heads/a.",
            "refs/heads/a b",
            "refs/heads/a\nb",
            "refs/heads/a\0",
            "refs/heads/a@{1}",
            "refs/heads/a*",
            "refs/remotes/origin/main",
            "refs/replace/x",
            "refs/notes/commits",
            "refs/stash",
            long.as_str(),
        ] {
            assert!(!is_reference(name), "{name:?}");
        }
    }
}
