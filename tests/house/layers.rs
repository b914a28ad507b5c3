//! Which module may know which: the worker's layers, from the types up to the server.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, rust};

/// Each module, and what it may use beside itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("blocking", &[]),
    ("types", &[]),
    ("config", &[]),
    ("api", &[]),
    ("safe_fs", &["types"]),
    ("sandbox", &["safe_fs", "types"]),
    ("models", &["blocking", "config", "types"]),
    ("store", &["config", "safe_fs", "types"]),
    ("runs", &["api", "blocking", "config", "models", "safe_fs", "sandbox", "store", "types"]),
    ("app", &["blocking", "config", "models", "runs", "sandbox", "store"]),
    (
        "server",
        &[
            "api", "app", "blocking", "config", "models", "runs", "safe_fs", "sandbox", "store",
            "types",
        ],
    ),
];

/// What lies beside the modules: the program, and the library's own file.
const PROGRAMS: &[&str] = &["cli", "doctor", "lib", "main"];

/// The top-level modules that follow `crate::` in a line, also in `crate::{a, b::c}`.
fn used(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let names = rest.strip_prefix('{').map_or(vec![rest], |list| {
            let list = list.split_once('}').map_or(list, |(list, _)| list);
            list.split(',').map(str::trim).collect()
        });
        for name in names {
            let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
            let name: String = name.chars().take_while(|c| is_name(*c)).collect();
            modules.insert(name);
        }
    }
    modules.remove("");
    modules
}

fn module_of(source: &Source) -> Option<String> {
    let path = source.below("worker/src/")?;
    let (module, _) = path.split_once('/').or_else(|| path.split_once('.'))?;
    (!PROGRAMS.contains(&module)).then(|| module.to_owned())
}

#[test]
fn no_module_knows_one_above_it() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let mut seen = BTreeSet::new();
    for source in rust("worker/src/") {
        let Some(module) = module_of(&source) else {
            continue;
        };
        let allowed = layers
            .get(module.as_str())
            .unwrap_or_else(|| panic!("{module} has no place in the layers"));
        let code: Vec<&str> = source.code().collect();
        for other in used(&code.join("\n")) {
            let ok = other == module || allowed.contains(&other.as_str());
            assert!(ok, "{}: {module} must not know {other}", source.path);
        }
        seen.insert(module);
    }
    assert_eq!(seen.len(), LAYERS.len(), "every layer exists: {seen:?}");
}

#[test]
fn the_list_of_used_modules_is_read_from_every_form_of_use() {
    let code = "use crate::runs::x; crate::{config, types::{A}}\ncrate::safe_fs::Dir crate::X";
    let expected = ["config", "runs", "safe_fs", "types"].map(str::to_owned);
    assert_eq!(used(code), BTreeSet::from(expected));
}

/// Asserts that these words stand in the code of these places only.
fn only_in(words: &[&str], places: &[&str]) {
    for source in rust("worker/src/") {
        let path = source.below("worker/src/").expect("it is there").to_owned();
        if places.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for word in words {
            let line = source.code().find(|line| line.contains(word));
            assert_eq!(line, None, "{path} must not use {word}");
        }
    }
}

#[test]
fn http_ends_at_the_server() {
    only_in(&["axum::"], &["server/"]);
    // The broker is a local HTTP server, and speaks to the CLI only.
    only_in(&["hyper::", "hyper_util", "StatusCode"], &["server/", "models/broker/"]);
}

#[test]
fn blocking_work_carries_the_span_of_its_request() {
    only_in(&["spawn_blocking"], &["blocking.rs"]);
}

#[test]
fn only_config_reads_the_environment() {
    only_in(&["env::var", "env::set_var", "env::remove_var"], &["config/"]);
}

#[test]
fn only_the_sandbox_starts_processes() {
    only_in(&["process::Command", "Command::new", "fork()", "execve"], &["sandbox/"]);
}

/// How the overview calls a file: below `worker/src/` for the worker's own, and below `worker/` for
/// those of the packages beside it.
fn short(source: &Source) -> &str {
    let path = source.below("worker/src/").or_else(|| source.below("worker/"));
    path.expect("it is there")
}

#[test]
fn every_trust_boundary_has_its_files_and_the_overview_names_them() {
    let sources = rust("worker/");
    let overview = sources
        .iter()
        .find(|source| source.path == "worker/src/lib.rs")
        .expect("the library")
        .module_doc();
    let mut numbers = BTreeSet::new();
    for source in &sources {
        let doc = source.module_doc();
        if source.path == "worker/src/lib.rs" {
            continue;
        }
        let Some((_, after)) = doc.split_once("TRUST BOUNDARY ") else {
            continue;
        };
        let number = after.chars().next().expect("a number").to_string();
        let path = short(source);
        let listed = overview
            .lines()
            .any(|line| line.contains(&format!("`{path}`")) && line.contains(&number));
        assert!(listed, "lib.rs does not list `{path}` for boundary {number}");
        numbers.insert(number);
    }
    let all: BTreeSet<_> = (1..=7).map(|number| number.to_string()).collect();
    assert_eq!(numbers, all);
    // And nothing is listed that is not there.
    let named = overview.split('`').filter_map(|part| part.strip_suffix(".rs"));
    for path in named {
        let path = format!("{path}.rs");
        let exists = sources.iter().any(|source| short(source) == path);
        assert!(exists, "lib.rs names {path}");
    }
}
