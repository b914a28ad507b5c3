//! The map in ARCHITECTURE.md agrees with the tree: every file has a place on the map, and every
//! place on the map exists.

use std::collections::BTreeSet;
use std::path::Path;

use harness::repository_root;

use crate::source::rust;
use crate::tables::{document, quoted, rows};

/// Names of files that belong to the folder in which they are, and need no place on the map.
const OF_THE_FOLDER: &[&str] = &["mod.rs", "lib.rs", "tests.rs"];

/// One row of the map.
struct Row {
    /// The files and folders of the row, below `worker/src/`. A folder ends with `/`.
    places: Vec<String>,
    /// The names of modules in the second cell.
    named: Vec<String>,
}

impl Row {
    fn folders(&self) -> impl Iterator<Item = &String> {
        self.places.iter().filter(|place| place.ends_with('/'))
    }
}

fn map() -> Vec<Row> {
    let text = document("ARCHITECTURE.md");
    let rows = rows(&text, &["`worker/src/`"]);
    let of = |cells: Vec<&str>| {
        let mut folder = String::new();
        let mut places = Vec::new();
        for name in quoted(cells[0]) {
            // A name without a folder is in the folder of the row's first name.
            let place = if name.trim_end_matches('/').contains('/') || places.is_empty() {
                name.to_owned()
            } else {
                format!("{folder}{name}")
            };
            if places.is_empty() {
                let parent = Path::new(&place).parent().unwrap_or(Path::new(""));
                let parent = parent.to_string_lossy();
                folder = if parent.is_empty() { String::new() } else { format!("{parent}/") };
            }
            places.push(place);
        }
        let named = quoted(cells[1]).into_iter().map(str::to_owned).collect();
        Row { places, named }
    };
    rows.into_iter().map(of).collect()
}

fn exists(place: &str) -> bool {
    let path = repository_root().join("worker/src").join(place);
    if place.ends_with('/') { path.is_dir() } else { path.is_file() }
}

#[test]
fn every_place_on_the_map_is_there() {
    for row in map() {
        for place in &row.places {
            assert!(exists(place), "ARCHITECTURE.md has a row for {place}");
        }
        for name in &row.named {
            let name = name.trim_end_matches('/');
            let found = row.folders().any(|folder| {
                exists(&format!("{folder}{name}.rs")) || exists(&format!("{folder}{name}/"))
            });
            assert!(found, "{:?}: ARCHITECTURE.md names {name}, which is not there", row.places);
        }
    }
}

#[test]
fn every_file_has_a_place_on_the_map() {
    let map = map();
    for source in rust("worker/src/") {
        let path = source.below("worker/src/").expect("it is there");
        let (folder, name) =
            path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
        let of_the_folder = OF_THE_FOLDER.contains(&name);
        let covered = map.iter().flat_map(|row| &row.places).any(|place| {
            path == place
                || (place.ends_with('/') && path.starts_with(place.as_str()))
                || (of_the_folder && place.starts_with(folder))
        });
        assert!(covered, "ARCHITECTURE.md has no row for {path}");
    }
}

#[test]
fn a_row_that_says_what_is_in_a_folder_says_all_of_it() {
    for row in map().iter().filter(|row| !row.named.is_empty()) {
        for folder in row.folders() {
            for source in rust(&format!("worker/src/{folder}")) {
                let inside = source.path.rsplit_once(folder).expect("it is there").1;
                let first = inside.split('/').next().unwrap_or(inside);
                let module = first.strip_suffix(".rs").unwrap_or(first);
                let named = row.named.iter().any(|named| named.trim_end_matches('/') == module);
                let ok = named || OF_THE_FOLDER.contains(&first);
                assert!(ok, "ARCHITECTURE.md does not name {module} of {folder}");
            }
        }
    }
}

#[test]
fn every_package_beside_the_worker_is_described() {
    let text = document("ARCHITECTURE.md");
    let described: BTreeSet<(String, String)> = rows(&text, &["`worker/`", "package"])
        .iter()
        .map(|row| (quoted(row[0])[0].to_owned(), quoted(row[1])[0].to_owned()))
        .collect();
    let mut there = BTreeSet::new();
    for entry in std::fs::read_dir(repository_root().join("worker")).expect("the worker") {
        let folder = entry.expect("an entry").path();
        if let Ok(manifest) = std::fs::read_to_string(folder.join("Cargo.toml")) {
            let name = manifest.lines().find_map(|line| line.strip_prefix("name = "));
            let folder = folder.file_name().expect("a name").to_string_lossy().into_owned();
            let name = name.expect("a package has a name").trim_matches('"').to_owned();
            there.insert((format!("{folder}/"), name));
        }
    }
    assert_eq!(described, there);
}
