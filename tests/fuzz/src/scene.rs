//! A data folder with one project, and files beside it that no request may read or change.

use std::fs;
use std::path::{Path, PathBuf};

use dreamcore_worker::types::UserId;
use tempfile::TempDir;

/// The user and the project of every request.
pub(crate) const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
/// The content of the files that no request may read.
pub(crate) const SECRET: &str = "the-secret-of-somebody-else";

/// The folders of one worker.
pub(crate) struct Scene {
    root: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let scene = Self { root: tempfile::tempdir().expect("a folder") };
        let project = scene.project();
        fs::create_dir_all(project.join("folder")).expect("a folder");
        fs::write(project.join("index.html"), "<p>").expect("a file");
        fs::write(project.join("folder/a.txt"), "a").expect("a file");
        for outside in ["outside", "data/outside", "data/users/outside"] {
            let folder = scene.path(outside);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("secret.txt"), SECRET).expect("a file");
        }
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.path(&format!("data/users/{ID}/projects/{ID}"))
    }

    /// Names, kinds and contents of everything except users' data and the scratch folder.
    pub(crate) fn surroundings(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(self.root.path(), &self.path("scratch"), &mut found);
        found.sort();
        found
    }
}

fn list(folder: &Path, without: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // The folder of the worker's own keys, which it makes once.
        let is_own = name == ".dreamcore";
        if is_own
            || path == without
            || (folder.ends_with("data/users") && name.parse::<UserId>().is_ok())
        {
            continue;
        }
        let kind = path.symlink_metadata().expect("it is there").file_type();
        let content = if kind.is_file() { fs::read(&path).expect("a file") } else { Vec::new() };
        found.push(format!("{} {kind:?} {}", path.display(), content.escape_ascii()));
        if kind.is_dir() {
            list(&path, without, found);
        }
    }
}
