//! Turns a conversation from the relay into turns of the model API.
//!
//! The relay's list may end with the present message, may have several entries of one role in a
//! row, and may be longer than a model should read. The API requires turns that alternate between
//! user and assistant and begin with the user.

pub use crate::api::request::Entry;

use super::clip::head;
use crate::models::messages::{Role, Turn};
use crate::types::user_words;

/// How much of a conversation the model reads, in bytes, without the present message.
const MAX_HISTORY_BYTES: usize = 64 * 1024;
/// How much of one turn of it the model reads, in bytes.
const MAX_TURN_BYTES: usize = 8 * 1024;
/// The separator between entries of one role that are joined into one turn.
const JOINT: &str = "\n\n";

/// The turns of a conversation that ends with `message`. They begin and end with the user. If the
/// conversation is too long, its oldest turns are left out; `message` itself is never cut.
pub fn turns(history: &[Entry], message: &str) -> Vec<Turn> {
    let mut entries: Vec<(Role, &str)> = history.iter().filter_map(said).collect();
    // The relay stores the message before it sends the request, so the list may end with it.
    if entries
        .last()
        .is_some_and(|(role, content)| *role == Role::User && is_same(content, message))
    {
        entries.pop();
    }
    let mut kept = 0;
    let mut bytes = 0;
    for (_, content) in entries.iter().rev() {
        bytes += content.len();
        if bytes > MAX_HISTORY_BYTES {
            break;
        }
        kept += 1;
    }
    let recent = entries.split_off(entries.len() - kept);
    let mut turns: Vec<Turn> = Vec::new();
    let recent = recent.into_iter().skip_while(|(role, _)| *role == Role::Assistant);
    for (role, content) in recent.chain([(Role::User, message)]) {
        match turns.last_mut() {
            Some(last) if last.role == role => {
                last.content.push_str(JOINT);
                last.content.push_str(content);
            }
            _ => turns.push(Turn { role, content: content.to_owned() }),
        }
    }
    turns
}

fn said(entry: &Entry) -> Option<(Role, &str)> {
    let role = match entry.role.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return None,
    };
    let content = head(entry.content.as_deref()?.trim(), MAX_TURN_BYTES);
    (!content.is_empty()).then_some((role, content))
}

/// Whether an entry is the present message, with or without the text that the relay puts around it.
fn is_same(entry: &str, message: &str) -> bool {
    let message = message.trim();
    entry == head(message, MAX_TURN_BYTES) || user_words(entry) == user_words(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(role: &str, content: &str) -> Entry {
        Entry { role: role.to_owned(), content: Some(content.to_owned()) }
    }

    fn shown(history: &[Entry], message: &str) -> String {
        let turns = turns(history, message);
        let lines = turns.iter().map(|turn| format!("{:?}: {}", turn.role, turn.content));
        lines.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn the_present_message_is_asked_once() {
        let history = [entry("user", "a"), entry("assistant", "b"), entry("user", "c")];
        assert_eq!(shown(&history, "c"), "User: a | Assistant: b | User: c");
        assert_eq!(shown(&history, "d"), "User: a | Assistant: b | User: c\n\nd");
        let with_style = [entry("assistant", "b"), entry("user", "c\n=== style\nred")];
        assert_eq!(shown(&with_style, "c"), "User: c");
    }

    #[test]
    fn what_is_no_turn_is_passed_over() {
        let nothing = Entry { role: "user".to_owned(), content: None };
        let history = [
            entry("system", "x"),
            entry("user", " "),
            nothing,
            entry("assistant", "b"),
            entry("User", "c"),
        ];
        assert_eq!(shown(&history, "q"), "User: q");
        assert_eq!(shown(&[], "q"), "User: q");
    }

    #[test]
    fn neighbours_are_joined() {
        let history = [
            entry("user", "a"),
            entry("user", "b"),
            entry("assistant", "c"),
            entry("assistant", "d"),
        ];
        assert_eq!(shown(&history, "q"), "User: a\n\nb | Assistant: c\n\nd | User: q");
    }

    #[test]
    fn the_oldest_is_left_out_and_the_message_never_cut() {
        let long = "あ".repeat(2_000);
        let history: Vec<_> = (0..50)
            .map(|n| entry(if n % 2 == 0 { "user" } else { "assistant" }, &format!("{n}{long}")))
            .collect();
        let message = "い".repeat(1_000_000);
        let turns = turns(&history, &message);
        assert_eq!(turns.last().unwrap().content, message);
        let before: usize = turns.iter().rev().skip(1).map(|turn| turn.content.len()).sum();
        assert!(before <= MAX_HISTORY_BYTES);
        assert!(turns.len() > 5);
        assert!(turns.iter().any(|turn| turn.content.starts_with("49")));
        assert!(!turns.iter().any(|turn| turn.content.starts_with("0あ")));
    }

    proptest! {
        #[test]
        fn turns_alternate_from_the_user_to_the_user(
            history in proptest::collection::vec(("(user|assistant|tool|)", "[ab]{0,3}"), 0..20),
        ) {
            let history: Vec<_> = history.iter().map(|(role, text)| entry(role, text)).collect();
            let turns = turns(&history, "q");
            prop_assert_eq!(turns.first().unwrap().role, Role::User);
            prop_assert_eq!(turns.last().unwrap().role, Role::User);
            prop_assert!(turns.last().unwrap().content.ends_with('q'));
            prop_assert!(turns.windows(2).all(|pair| pair[0].role != pair[1].role));
            prop_assert!(turns.iter().all(|turn| !turn.content.is_empty()));
        }
    }
}
