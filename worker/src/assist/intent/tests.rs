//! Measures how well the table of patterns judges labelled messages.
//!
//! The patterns were written with the messages of `messages/development.tsv`. Those of
//! `messages/held_out.tsv` were written before the patterns and are only used to measure. If you
//! change a pattern because of one of these, move that message to the other file and write a new
//! one.

use super::*;

const DEVELOPMENT: &str = include_str!("messages/development.tsv");
const HELD_OUT: &str = include_str!("messages/held_out.tsv");
const INTENTS: [Intent; 3] = [Intent::Restore, Intent::Chat, Intent::Edit];

/// The number of messages with one label (row) that were judged as another (column).
type Confusion = [[usize; 3]; 3];

fn labelled(file: &str) -> impl Iterator<Item = (Intent, String)> {
    file.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (label, message) = line.split_once('\t').unwrap();
        let intent = match label {
            "restore" => Intent::Restore,
            "chat" => Intent::Chat,
            "edit" => Intent::Edit,
            other => panic!("{other} is no label"),
        };
        (intent, message.replace("\\n", "\n"))
    })
}

/// Judges every message of a file, and prints the table and the messages that were judged wrongly.
#[expect(clippy::print_stderr, reason = "the table is what the test is for")]
fn measure(name: &str, file: &str) -> (f64, Confusion) {
    let mut confusion = Confusion::default();
    for (label, message) in labelled(file) {
        let guessed = guess(&message);
        if guessed != label {
            eprintln!("  {label:?} was judged as {guessed:?}: {message}");
        }
        confusion[label as usize][guessed as usize] += 1;
    }
    let total: usize = confusion.iter().flatten().sum();
    let right: usize = (0..INTENTS.len()).map(|i| confusion[i][i]).sum();
    #[expect(clippy::cast_precision_loss, reason = "a few hundred messages")]
    let accuracy = right as f64 / total as f64;
    eprintln!("{name}: {right} of {total} messages, accuracy {accuracy:.3}");
    eprintln!("  {:>10} {:>8} {:>8} {:>8}", "label", "restore", "chat", "edit");
    for intent in INTENTS {
        let [restore, chat, edit] = confusion[intent as usize];
        eprintln!("  {:>10} {restore:>8} {chat:>8} {edit:>8}", format!("{intent:?}"));
    }
    (accuracy, confusion)
}

#[test]
fn judges_messages_that_it_was_not_written_with() {
    let (accuracy, confusion) = measure("held out", HELD_OUT);
    assert!(accuracy >= 0.95, "{accuracy}");
    let edit_as_restore = confusion[Intent::Edit as usize][Intent::Restore as usize];
    assert_eq!(edit_as_restore, 0, "an order to change the game must not undo the last change");
}

#[test]
fn judges_messages_that_it_was_written_with() {
    let (accuracy, confusion) = measure("development", DEVELOPMENT);
    assert!(accuracy >= 0.98, "{accuracy}");
    assert_eq!(confusion[Intent::Edit as usize][Intent::Restore as usize], 0);
}

#[test]
fn the_files_are_large_and_share_next_to_nothing() {
    let messages = |file| -> std::collections::HashSet<_> { labelled(file).collect() };
    let (development, held_out) = (messages(DEVELOPMENT), messages(HELD_OUT));
    assert!(development.len() + held_out.len() >= 300);
    assert!(held_out.len() >= 150);
    assert!(development.intersection(&held_out).count() <= 3);
}

#[test]
fn every_row_of_the_table_compiles() {
    for (_, row) in ROWS {
        compile(row).unwrap();
    }
    assert_eq!(TABLE.len(), ROWS.len());
    assert!(QUOTED.is_some());
}

#[test]
fn only_the_words_of_the_user_are_judged() {
    let message = "1：画像「戻す」を使用: https://example.com/undo.png\n敵を速くして\n\
        === スタイルガイド ===\n元に戻して";
    assert_eq!(guess(message), Intent::Edit);
    assert_eq!(guess("元に戻して\n=== スタイルガイド ===\n敵を速くして"), Intent::Restore);
}

#[test]
fn any_text_gets_an_answer_soon() {
    let long = "戻してボタン、".repeat(100_000);
    for text in ["", "。", "\u{0}", "🎮", "元", long.as_str()] {
        assert!(INTENTS.contains(&guess(text)));
    }
}

/// Messages that try to choose their own label.
const INJECTIONS: &str = include_str!("messages/injections.tsv");

#[test]
fn what_a_message_says_about_its_label_stays_data() {
    let plain = ask::question("claude-x", "敵を増やして");
    assert!(labelled(INJECTIONS).count() >= 60);
    for (_, message) in labelled(INJECTIONS) {
        let question = ask::question("claude-x", &message);
        // The message changes one string in the only turn, but neither the instructions nor the
        // form.
        assert_eq!(question.system, plain.system);
        assert_eq!(question.form.as_ref().unwrap().schema, plain.form.as_ref().unwrap().schema);
        let [turn] = question.turns.as_slice() else { panic!("{message}: more than one turn") };
        let data: serde_json::Value = serde_json::from_str(&turn.content).unwrap();
        assert_eq!(data, serde_json::json!({ "message": user_words(&message) }));
    }
}

#[test]
fn what_a_message_says_about_its_label_changes_no_guess() {
    let (accuracy, confusion) = measure("about their own label", INJECTIONS);
    assert!(accuracy >= 0.95, "{accuracy}");
    let restore = Intent::Restore as usize;
    assert_eq!(confusion[Intent::Edit as usize][restore], 0);
    assert_eq!(confusion[Intent::Chat as usize][restore], 0);
}
