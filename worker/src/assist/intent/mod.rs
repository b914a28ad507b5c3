//! The intent of a user's message: an earlier version, an answer in words, or a change of the game.

mod ask;
mod patterns;
#[cfg(test)]
mod tests;

pub use crate::api::answer::Intent;
use std::sync::LazyLock;

use regex::Regex;

pub use ask::Judged;

use super::words::fold;
use crate::types::user_words;
use patterns::{ROWS, Sign};

/// How much of a message is judged, in characters. Users say what they want at the beginning.
const JUDGED_CHARS: usize = 2_000;

/// The compiled table. It is compiled at its first use. A test compiles every pattern; here, one
/// that does not compile would match nothing.
static TABLE: LazyLock<Vec<(Sign, Regex)>> = LazyLock::new(|| {
    ROWS.iter().filter_map(|(sign, row)| Some((*sign, compile(row).ok()?))).collect()
});

/// Compiles the pattern of a row, with ASCII word boundaries.
fn compile(row: &str) -> Result<Regex, regex::Error> {
    Regex::new(&row.replace(r"\b", r"(?-u:\b)"))
}

/// Matches quoted text. Quotes contain names and lines of the game and not what the user asks for,
/// so they are left out.
static QUOTED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"「[^」]*」|『[^』]*』|"[^"\n]*"|“[^”]*”"#).ok());

/// Guesses the intent of a message without a model: judges each sentence by the table of patterns.
///
/// If any sentence reports a fault or orders a change, the message is an edit: a run that does a
/// little too much is better than an order that is answered with words. A message that no pattern
/// matches is an edit too, because people often only name what they want ("迷路ゲーム").
pub fn guess(message: &str) -> Intent {
    let judged: String = user_words(message).chars().take(JUDGED_CHARS).collect();
    let folded = fold(&judged);
    let unquoted = match QUOTED.as_ref() {
        Some(quoted) => quoted.replace_all(&folded, "「」"),
        None => folded.as_str().into(),
    };
    let signs: Vec<Option<Sign>> =
        sentences(&unquoted).map(sign).filter(|sign| *sign != Some(Sign::Label)).collect();
    let has = |sign: Sign| signs.contains(&Some(sign));
    match () {
        () if has(Sign::Restore) && !has(Sign::Order) => Intent::Restore,
        () if has(Sign::Fault) || has(Sign::Order) => Intent::Edit,
        () if has(Sign::Talk) && signs.iter().all(Option::is_some) => Intent::Chat,
        () => Intent::Edit,
    }
}

/// The sign of the first row of the table that matches a sentence.
fn sign(sentence: &str) -> Option<Sign> {
    TABLE.iter().find(|(_, row)| row.is_match(sentence)).map(|(sign, _)| *sign)
}

/// The sentences of a folded text, without the punctuation around them except for question marks.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['。', '!', '?', '\n'])
        .flat_map(|part| part.split(". "))
        .map(|part| part.trim_matches(|c: char| c.is_whitespace() || "。!.…".contains(c)))
        .filter(|part| part.chars().any(char::is_alphanumeric))
}
