//! Documents that are printed from the code. `UPDATE_DOCS=1` writes them; otherwise they are
//! compared, so that none of them can tell what is no longer so.

use std::fmt::Write as _;

use dreamcore_worker::api::ErrorCode;
use dreamcore_worker::config::SETTINGS;
use harness::repository_root;

use crate::source::rust;
use crate::tables::document;

pub(crate) fn is_up_to_date(path: &str, content: &str) {
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
         set. A secret has no default, is never shown, and is taken out of the worker's own \
         environment once it is read.\n\n\
         This page is printed from `worker/src/config/settings.rs`, and so is \
         `dreamcore-worker --help`.\n\n\
         | setting | default | meaning |\n| --- | --- | --- |\n",
    );
    for setting in SETTINGS {
        let without = if setting.is_secret { "secret" } else { "" };
        let default = setting.default.map_or(without.to_owned(), |d| format!("`{d}`"));
        let (name, help) = (setting.name, cell(setting.help));
        writeln!(text, "| `{name}` | {default} | {help} |").expect("a String takes everything");
    }
    is_up_to_date("docs/configuration.md", &text);
}

/// The part of a document between the lines `<!-- from the code: NAME -->` and `<!-- end -->`.
fn part_is_up_to_date(path: &str, name: &str, content: &str) {
    let place = repository_root().join(path);
    let text = std::fs::read_to_string(&place).expect("a document");
    let (begin, end) = (format!("<!-- from the code: {name} -->\n"), "<!-- end -->");
    let (before, rest) = text.split_once(&begin).expect("the beginning is marked");
    let (_, after) = rest.split_once(end).expect("the end is marked");
    is_up_to_date(path, &format!("{before}{begin}\n{content}\n{end}{after}"));
}

#[test]
fn the_codes_of_errors_are_documented() {
    let mut table = String::from(
        "| code | status | recoverable | meaning | what the user reads |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for code in ErrorCode::ALL {
        let recoverable = if code.is_recoverable() { "yes" } else { "no" };
        let (name, status, user) = (code.as_str(), code.status(), code.user_message());
        let meaning = cell(code.meaning());
        writeln!(table, "| `{name}` | {status} | {recoverable} | {meaning} | {user} |")
            .expect("a String takes everything");
    }
    part_is_up_to_date("docs/errors.md", "codes", &table);
}

#[test]
fn codes_are_written_in_one_place() {
    for source in rust("worker/src/") {
        if source.path == "worker/src/api/error_code.rs" {
            continue;
        }
        for code in ErrorCode::ALL {
            let literal = format!("\"{}\"", code.as_str());
            let line = source.code().find(|line| line.contains(&literal));
            assert_eq!(line, None, "{} writes a code by hand", source.path);
        }
    }
}

/// A proxy that takes less than the worker refuses requests that the worker would serve.
#[test]
fn the_example_of_a_proxy_takes_the_largest_body() {
    let largest = SETTINGS
        .iter()
        .filter(|setting| {
            ["DREAMCORE_MAX_BODY_BYTES", "DREAMCORE_MAX_ASSET_BYTES"].contains(&setting.name)
        })
        .map(|setting| setting.default.expect("a default").parse::<u64>().expect("a number"))
        .max();
    let text = document("docs/operations.md");
    let taken = text.lines().find_map(|line| {
        let value = line.trim().strip_prefix("client_max_body_size ")?.strip_suffix("m;")?;
        value.parse::<u64>().ok().map(|mebibytes| mebibytes << 20)
    });
    assert_eq!(taken, largest);
}
