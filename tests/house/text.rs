//! The form of the files, and texts that none of them may contain.

use harness::repository_root;

use crate::source::{all, rust};

/// The most lines that a file may have without its unit tests.
const MAX_LINES: usize = 400;
/// The most lines that a file of tests, or a file with its unit tests, may have.
const MAX_LINES_WITH_TESTS: usize = 500;
/// Files that may be longer, and why.
const LONGER: &[(&str, &str)] = &[];

#[test]
fn files_are_short_enough_to_be_read() {
    for source in rust("") {
        let reason = LONGER.iter().find(|(path, _)| *path == source.path);
        let is_test = source.path.starts_with("tests/") || source.path.ends_with("/tests.rs");
        let limit = if is_test { MAX_LINES_WITH_TESTS } else { MAX_LINES };
        let lines = source.production().lines().count();
        let whole = source.text.lines().count();
        if reason.is_some() {
            assert!(lines > limit, "{} needs no exception", source.path);
        } else {
            assert!(lines <= limit, "{} has {lines} lines", source.path);
        }
        assert!(whole <= MAX_LINES_WITH_TESTS, "{}: {whole} lines", source.path);
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for source in rust("") {
        assert!(
            source.text.starts_with("//! "),
            "{} does not begin with its documentation",
            source.path
        );
        let doc = source.module_doc();
        assert!(doc.len() >= 12, "{}: {doc:?} says too little", source.path);
    }
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let checkout = format!("{}/", repository_root().display());
    // Each is written in two parts, so that this file does not contain it.
    let paths = [
        checkout.as_str(),
        concat!("/wor", "k/"),
        concat!("/roo", "t/"),
        concat!("/home/", "ubuntu"),
        concat!("/tmp/", "target"),
    ];
    // The corpus of hostile paths contains such paths on purpose.
    let corpus = "tests/api/corpus/";
    for source in all().into_iter().filter(|source| !source.path.starts_with(corpus)) {
        for path in paths {
            // The root of another process in /proc is not a path of one machine.
            let inner = concat!("/proc/1", "/roo", "t/");
            let line = source.text.lines().find(|line| line.replace(inner, "").contains(path));
            assert_eq!(line, None, "{} holds {path}", source.path);
        }
    }
}

/// The beginnings of keys that give access to something, and the least number of characters after
/// each.
const KEYS: &[(&str, usize)] = &[
    ("sk-ant-api", 20),
    ("sk-ant-oat", 20),
    ("AIza", 35),
    ("AKIA", 16),
    ("ghp_", 36),
    ("github_pat_", 22),
    ("-----BEGIN PRIVATE KEY", 5),
    ("-----BEGIN RSA PRIVATE KEY", 5),
    ("-----BEGIN OPENSSH PRIVATE KEY", 5),
];

/// The beginning of a text in `text` that looks like a key. `None` if there is none.
fn key_in(text: &str) -> Option<&'static str> {
    let of_a_key = |c: &char| c.is_ascii_alphanumeric() || *c == '_' || *c == '-';
    let holds = |(start, length): &&(&'static str, usize)| {
        text.match_indices(start).any(|(at, _)| {
            let (before, after) = text.split_at(at);
            let within_a_word = before.ends_with(|c: char| c.is_ascii_alphanumeric());
            let more = after.chars().skip(start.len()).take_while(of_a_key).count();
            !within_a_word && more >= *length
        })
    };
    KEYS.iter().find(holds).map(|(start, _)| *start)
}

#[test]
fn no_file_holds_a_key() {
    for source in all() {
        assert_eq!(key_in(&source.text), None, "{}", source.path);
    }
}

#[test]
fn keys_are_known_by_their_beginning_and_length() {
    for (start, length) in KEYS {
        assert_eq!(key_in(&format!("key={start}{}", "-".repeat(*length))), Some(*start));
        assert_eq!(key_in(&format!("key={start}{}", "-".repeat(*length - 1))), None);
    }
    assert_eq!(key_in("a word like xAKIA0000000000000000"), None);
}
