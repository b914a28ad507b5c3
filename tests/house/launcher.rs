//! SECURITY.md is true about the launcher: about its dependencies, and about its steps and their
//! order.

use std::process::Command;

use harness::repository_root;

use crate::docs::is_up_to_date;
use crate::source::rust;
use crate::tables::{document, quoted, rows};

const PACKAGE: &str = "dreamcore-confine";
/// The most lines that the whole tree of dependencies may have, so that it fits a screen.
const MAX_LINES: usize = 48;

/// The launcher's dependencies as `cargo tree` prints them, without the folders of this machine.
fn tree(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "-p", PACKAGE, "-e", "normal"])
        .args(args)
        .current_dir(repository_root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    let line = |line: &str| line.split(" (/").next().unwrap_or(line).trim_end().to_owned() + "\n";
    tree.lines().map(line).collect()
}

#[test]
fn what_the_launcher_is_built_from_is_documented() {
    let text = document("SECURITY.md");
    let command = "```text\n$ cargo tree -p dreamcore-confine -e normal --depth 1\n";
    let (before, rest) = text.split_once(command).expect("the tree has its place");
    let (_, after) = rest.split_once("```\n").expect("the tree ends");
    let printed = format!("{before}{command}{}```\n{after}", tree(&["--depth", "1"]));
    is_up_to_date("SECURITY.md", &printed);

    let lines = tree(&[]).lines().count();
    assert!(lines <= MAX_LINES, "{lines} lines");
}

/// The body of a function in the launcher's main file.
fn body<'a>(main: &'a str, name: &str) -> &'a str {
    let (_, rest) = main.split_once(&format!("\nfn {name}(")).expect("the function is there");
    rest.split_once("\n}\n").expect("a function ends").0
}

/// The position of a call in the code. `None` if it is not called.
fn position(code: &str, call: &str) -> Option<usize> {
    code.find(&format!("{call}("))
}

#[test]
fn the_launchers_steps_are_documented_in_their_order() {
    let sources = rust("worker/confine/src/main.rs");
    let main: String = sources[0].code().flat_map(|line| [line, "\n"]).collect();
    let confine = body(&main, "confine").replace("hide_files(", body(&main, "hide_files"));
    // The functions in the order in which they run, `confine` with the two sides of the last fork.
    let run = format!("{}{}{confine}", body(&main, "main"), body(&main, "supervise"));

    let text = document("SECURITY.md");
    let steps = rows(&text, &["#", "as", "call", "does"]);
    let calls: Vec<&str> = steps.iter().flat_map(|row| quoted(row[2])).collect();
    let mut last = 0;
    for call in &calls {
        let found = run.get(last..).and_then(|rest| position(rest, call));
        assert!(found.is_some(), "SECURITY.md: {call} is not called, or not in this order");
        last += found.unwrap_or_default();
    }
    // Every call of a function in `steps/` has a row.
    for source in rust("worker/confine/src/steps/") {
        let name = source.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs"));
        let module = format!("{}::", name.expect("a Rust file"));
        for (_, rest) in run.match_indices(&module).map(|(at, _)| run.split_at(at)) {
            let call = rest.split('(').next().unwrap_or(rest);
            let known = calls.contains(&call) || call == "identity::is_root";
            assert!(known, "SECURITY.md has no row for {call}");
        }
    }
}
