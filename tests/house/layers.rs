//! The worker's layers: which module may use which.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, rust};
use crate::tables::{document, quoted, rows};

/// Each module and the modules that it may use, from the table in ARCHITECTURE.md.
fn layers() -> BTreeMap<String, BTreeSet<String>> {
    let text = document("ARCHITECTURE.md");
    let mut layers = BTreeMap::new();
    for row in rows(&text, &["module", "may use"]) {
        let allowed: BTreeSet<String> = match row[1] {
            "nothing" => BTreeSet::new(),
            "everything above" => layers.keys().cloned().collect(),
            names => quoted(names).into_iter().map(str::to_owned).collect(),
        };
        let known = allowed.iter().all(|name| layers.contains_key(name));
        assert!(known, "{row:?} names a module that is not above it");
        layers.extend(quoted(row[0]).into_iter().map(|name| (name.to_owned(), allowed.clone())));
    }
    layers
}

/// The files that are not modules: those of the program, and the library's own file.
const PROGRAMS: &[&str] = &["cli", "doctor", "heap", "lib", "main"];

/// The top-level modules that code uses, by what follows `crate::`, also in `crate::{a, b::c}`.
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
    let layers = layers();
    let mut seen = BTreeSet::new();
    for source in rust("worker/src/") {
        let Some(module) = module_of(&source) else {
            continue;
        };
        let allowed = layers.get(&module);
        let allowed = allowed.unwrap_or_else(|| panic!("{module} has no place in the layers"));
        let code: Vec<&str> = source.code().collect();
        for other in used(&code.join("\n")) {
            let ok = other == module || allowed.contains(&other);
            assert!(ok, "{}: {module} must not know {other}", source.path);
        }
        seen.insert(module);
    }
    assert_eq!(seen, layers.into_keys().collect(), "every layer exists");
}

#[test]
fn the_list_of_used_modules_is_read_from_every_form_of_use() {
    let code = "use crate::runs::x; crate::{config, types::{A}}\ncrate::safe_fs::Dir crate::X";
    let expected = ["config", "runs", "safe_fs", "types"].map(str::to_owned);
    assert_eq!(used(code), BTreeSet::from(expected));
}

/// Asserts that these words occur in the code of these places only.
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
fn folders_of_the_volume_are_named_in_one_place() {
    only_in(&["\"users", ".dreamcore\"", ".trash\""], &["store/volume/layout.rs"]);
    // Files that are being written have the same mark as folders.
    only_in(&[".dreamcore-tmp"], &["safe_fs/write.rs"]);
}

#[test]
fn http_ends_at_the_server() {
    only_in(&["axum::"], &["server/"]);
    // The broker is a local HTTP server too, whose only client is the CLI.
    only_in(&["hyper::", "hyper_util", "StatusCode"], &["server/", "models/broker/"]);
}

/// An attribute can allow a call that clippy forbids. This test decides which modules may have one.
#[test]
fn forbidden_calls_are_allowed_in_their_own_modules_only() {
    let places = ["blocking.rs", "config/", "sandbox/"];
    // The library allows them in its unit tests.
    only_in(&["clippy::disallowed_methods"], &[&places[..], &["lib.rs"]].concat());
}

/// The path of a file as the overview writes it: below `worker/src/` for the worker's own files,
/// and below `worker/` for those of the other packages.
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
    let all: BTreeSet<_> = (1..=8).map(|number| number.to_string()).collect();
    assert_eq!(numbers, all);
    // Every file that the overview lists exists.
    let named = overview.split('`').filter_map(|part| part.strip_suffix(".rs"));
    for path in named {
        let path = format!("{path}.rs");
        let exists = sources.iter().any(|source| short(source) == path);
        assert!(exists, "lib.rs names {path}");
    }
}
