//! Reading the files to which the rules apply.

use std::path::Path;

use harness::repository_root;

/// Folders without sources: they hold what was built or fetched, or what a run has left.
const NOT_OURS: &[&str] = &[".git", ".run", ".tools", "node_modules", "target"];

/// A text file of the project.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path in the checkout.
    pub(crate) path: String,
    /// The content.
    pub(crate) text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|ending| ending == "rs")
    }

    /// The path below a folder. `None` if the file is elsewhere.
    pub(crate) fn below(&self, folder: &str) -> Option<&str> {
        self.path.strip_prefix(folder)
    }

    /// The lines of code, without comments and without the unit tests at the end.
    pub(crate) fn code(&self) -> impl Iterator<Item = &str> {
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        self.production().lines().filter(is_code)
    }

    /// Everything before the unit tests.
    pub(crate) fn production(&self) -> &str {
        let end = self.text.find("#[cfg(test)]\nmod tests {");
        self.text.get(..end.unwrap_or(self.text.len())).unwrap_or(&self.text)
    }

    /// The module's documentation.
    pub(crate) fn module_doc(&self) -> String {
        let lines = self.text.lines();
        let doc = lines.map_while(|line| line.strip_prefix("//!"));
        doc.map(str::trim).collect::<Vec<_>>().join("\n")
    }
}

/// Every text file of the project.
pub(crate) fn all() -> Vec<Source> {
    let mut found = Vec::new();
    collect(repository_root(), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Every Rust file below a folder of the checkout.
pub(crate) fn rust(folder: &str) -> Vec<Source> {
    let mut sources = all();
    sources.retain(|source| source.path.starts_with(folder) && source.is_rust());
    assert!(!sources.is_empty(), "{folder} holds no Rust files");
    sources
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the checkout") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("a kind");
        // By name and not by kind: `.git` is a file if the checkout is a linked working tree.
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), found);
        } else if kind.is_file()
            && let Ok(text) = std::fs::read_to_string(entry.path())
        {
            found.push(Source { path, text });
        }
    }
}
