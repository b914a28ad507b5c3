//! What a message of a user wants: an earlier version, a talk, or a change of the game.

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

/// Characters of a message that are judged. Who wants something says so at the beginning.
const JUDGED_CHARS: usize = 2_000;

/// The table, compiled at its first use. The patterns are constants and a test compiles each; one
/// that did not compile would match nothing.
static TABLE: LazyLock<Vec<(Sign, Regex)>> = LazyLock::new(|| {
    ROWS.iter().filter_map(|(sign, row)| Some((*sign, compile(row).ok()?))).collect()
});

/// A row as a pattern, with word boundaries as the table means them.
fn compile(row: &str) -> Result<Regex, regex::Error> {
    Regex::new(&row.replace(r"\b", r"(?-u:\b)"))
}

/// Quoted words are names and lines of the game, not what its author asks for.
static QUOTED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"「[^」]*」|『[^』]*』|"[^"\n]*"|“[^”]*”"#).ok());

/// Guesses what a message wants, without a model: by the table of patterns, sentence by sentence.
///
/// A fault or an order in any sentence makes the message a wish for a change, because a run that does
/// a little more than was asked is better than an order that is only talked about. A message of
/// which nothing is known is a wish for a change too: people name what they want ("迷路ゲーム").
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

/// What the first row of the table that matches says of a sentence.
fn sign(sentence: &str) -> Option<Sign> {
    TABLE.iter().find(|(_, row)| row.is_match(sentence)).map(|(sign, _)| *sign)
}

/// The sentences of a folded text, without the punctuation around them but for a question mark.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['。', '!', '?', '\n'])
        .flat_map(|part| part.split(". "))
        .map(|part| part.trim_matches(|c: char| c.is_whitespace() || "。!.…".contains(c)))
        .filter(|part| part.chars().any(char::is_alphanumeric))
}
