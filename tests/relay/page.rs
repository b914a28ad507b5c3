//! What the relay's page does with the list of versions.

use serde_json::Value;

/// The page does not show versions whose message contains one of these.
const HIDDEN: [&str; 4] =
    ["Before restore", "Restored to", "Initial project setup", "Migration from"];

/// One version of an answer of `git_log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// The hash, with which the page restores and compares.
    pub(crate) hash: String,
    /// The message, which the page shows.
    pub(crate) message: String,
}

/// All versions of an answer of `git_log`, newest first.
pub(crate) fn versions(answer: &Value) -> Vec<Version> {
    let commits = answer["commits"].as_array().expect("a list of versions");
    let text = |commit: &Value, field: &str| commit[field].as_str().expect("a text").to_owned();
    commits
        .iter()
        .map(|commit| Version { hash: text(commit, "hash"), message: text(commit, "message") })
        .collect()
}

/// The versions that the page shows.
pub(crate) fn visible(answer: &Value) -> Vec<Version> {
    let is_hidden =
        |version: &Version| HIDDEN.iter().any(|hidden| version.message.contains(hidden));
    versions(answer).into_iter().filter(|version| !is_hidden(version)).collect()
}

/// The version that "元に戻して" restores: the second that the page shows.
pub(crate) fn undone_to(answer: &Value) -> Option<Version> {
    visible(answer).into_iter().nth(1)
}

/// The version whose diff "変更箇所を見る" shows at the i-th newest answer, from 0.
pub(crate) fn version_of_answer(answer: &Value, newest: usize) -> Option<Version> {
    visible(answer).into_iter().nth(newest)
}
