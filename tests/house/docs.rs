//! Documents that are printed from the code. `UPDATE_DOCS=1` writes them; otherwise they are
//! compared, so that none of them can tell what is no longer so.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dreamcore_worker::config::SETTINGS;
use dreamcore_worker::runs::failure::{Code, Failure};
use harness::repository_root;

use crate::source::rust;

/// The codes of answers outside a stream: status, code, meaning.
const ANSWERS: &[(&str, &str, &str)] = &[
    ("400", "INVALID_REQUEST", "The request is wrong; `error` says what about it."),
    ("401", "UNAUTHORIZED", "The secret is missing or wrong."),
    ("404", "NOT_FOUND", "There is no such endpoint, project or file."),
    ("405", "METHOD_NOT_ALLOWED", "The endpoint takes another method."),
    ("408", "BODY_TIMEOUT", "The body did not arrive in time."),
    ("409", "PROJECT_EXISTS", "There is a project already where the copy was to go."),
    (
        "412",
        "PRECONDITION_FAILED",
        "The file is another version than `If-Match` or `If-Unmodified-Since` says.",
    ),
    ("413", "BODY_TOO_LARGE", "The body is larger than is read."),
    (
        "413",
        "QUOTA_EXCEEDED",
        "A file or the project would become larger than is allowed, or the user's assets more or larger.",
    ),
    (
        "415",
        "UNSUPPORTED_MEDIA_TYPE",
        "The body is not said to be JSON, or the asset is of no kind that is accepted.",
    ),
    ("416", "RANGE_NOT_SATISFIABLE", "The range has nothing of the file in it."),
    ("500", "INTERNAL_ERROR", "A defect of the worker; the log has more."),
    ("503", "SHUTTING_DOWN", "The worker takes no new work. Try again: another one is coming up."),
    ("503", "PROJECT_BUSY", "Another save of the same project takes too long."),
    ("503", "STORAGE_ERROR", "The volume cannot be read or written at the moment."),
    ("503", "WORKER_BUSY", "Too many large requests at the same time."),
    ("507", "STORAGE_FULL", "The volume is full."),
];

/// Texts of the server that only look like codes.
const OTHER_LITERALS: &[&str] = &["CARGO_PKG_VERSION", "TCP_NODELAY"];

fn is_up_to_date(path: &str, content: &str) {
    let place = repository_root().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        std::fs::write(&place, content).expect("a document is written");
    }
    let found = std::fs::read_to_string(&place).unwrap_or_default();
    assert!(
        found == content,
        "{path} is out of date: run `UPDATE_DOCS=1 cargo test --workspace --test house`"
    );
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_settings_are_documented() {
    let mut text = String::from(
        "# Configuration\n\n\
         Settings come from the environment, are read once at start and checked all together: a \
         worker that starts has understood every one of them. A name that begins with `DREAMCORE_` \
         and is not in this table is refused as a typing mistake. An empty value counts as not \
         set.\n\n\
         This page is printed from `worker/src/config/settings.rs`, and so is \
         `dreamcore-worker --help`.\n\n\
         | setting | default | meaning |\n| --- | --- | --- |\n",
    );
    for setting in SETTINGS {
        let default = setting.default.map_or(String::new(), |d| format!("`{d}`"));
        let (name, help) = (setting.name, cell(setting.help));
        writeln!(text, "| `{name}` | {default} | {help} |").expect("a String takes everything");
    }
    is_up_to_date("docs/configuration.md", &text);
}

/// What each code means, from the comments in its source.
fn meanings() -> BTreeMap<String, String> {
    let sources = rust("worker/src/runs/failure.rs");
    let mut meanings = BTreeMap::new();
    let mut comment = String::new();
    for line in sources[0].text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("/// ") {
            let between = if comment.is_empty() { "" } else { " " };
            comment = format!("{comment}{between}{words}");
        } else if let Some(name) = line.strip_suffix(',') {
            meanings.entry(name.to_owned()).or_insert(std::mem::take(&mut comment));
        } else {
            comment.clear();
        }
    }
    meanings
}

#[test]
fn the_codes_of_failures_are_documented() {
    let mut text = String::from(
        "# Errors\n\n\
         This page is printed from the code: `worker/src/runs/failure.rs` and the table in \
         `tests/house/docs.rs`.\n\n\
         ## In a stream\n\n\
         The last event of a run that failed is `error`, with `code`, `message` (for the \
         operator), `userMessage` (for the user, in Japanese), `recoverable`, and `exitCode` where \
         there is one. Nothing was saved.\n\n\
         | code | recoverable | meaning | what the user reads |\n| --- | --- | --- | --- |\n",
    );
    let meanings = meanings();
    for code in Code::ALL {
        let meaning = &meanings[&format!("{code:?}")];
        assert!(!meaning.is_empty(), "{code:?} is not explained");
        let recoverable = if code.is_recoverable() { "yes" } else { "no" };
        let user = Failure::new(code, "").user_message;
        writeln!(text, "| `{}` | {recoverable} | {} | {user} |", code.as_str(), cell(meaning))
            .expect("a String takes everything");
    }
    text.push_str(
        "\n## Outside a stream\n\n\
         The body is `{\"error\": \"<text>\", \"code\": \"<code>\"}`.\n\n\
         | status | code | meaning |\n| --- | --- | --- |\n",
    );
    for (status, code, meaning) in ANSWERS {
        writeln!(text, "| {status} | `{code}` | {meaning} |").expect("a String takes everything");
    }
    is_up_to_date("docs/errors.md", &text);
}

#[test]
fn every_code_that_the_server_answers_with_is_documented() {
    for source in rust("worker/src/server/") {
        for literal in source.production().split('"').skip(1).step_by(2) {
            let looks_like_one = literal.len() > 4
                && literal.contains('_')
                && literal.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
            let known = ANSWERS.iter().any(|(_, code, _)| *code == literal)
                || OTHER_LITERALS.contains(&literal);
            assert!(!looks_like_one || known, "{}: {literal}", source.path);
        }
    }
}
