//! A project whose history an attacker wrote. Opening, reading and saving it does not crash the
//! worker, and neither changes nor shows any file outside of the project.
//!
//! The input is text with sections. `== NAME` begins one; what follows is the content:
//!
//! - one of [`FILES`] below `.git`, as it stands;
//! - `object commit`, `object tree`, `object blob`, `object tag`: stored with its right hash, so that
//!   the content is reached. `<0>` to `<9>` become the hash of the objects before it;
//! - `link NAME`: a symbolic link in `.git` to a folder or file outside (one of [`LINKS`]; `objects`
//!   stands for all folders in it);
//! - `work NAME`: a file of the project, or a link with `work link NAME`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use dreamcore_import::walk::walk;
use dreamcore_worker::runs::import::copy_repository;
use dreamcore_worker::runs::workspace::ImportFolder;
use dreamcore_worker::safe_fs::Dir;
use dreamcore_worker::store::projects::{
    Changes, FileLimits, ForeignError, Importer, Part, Patience, ProjectKey, Projects, Source,
};
use dreamcore_worker::store::volume::Volume;
use dreamcore_worker::types::{ProjectPath, RequestPath};
use git2::{ObjectType, Repository};

use crate::scene::{ID, SECRET, Scene};

/// The files that a section may write in `.git`.
const FILES: &[&str] = &[
    "HEAD",
    "config",
    "commondir",
    "gitdir",
    "index",
    "packed-refs",
    "refs/heads/main",
    "logs/HEAD",
    "logs/refs/heads/main",
    "hooks/post-commit",
    "hooks/reference-transaction",
    "info/attributes",
    "info/exclude",
    "info/grafts",
    "shallow",
    "modules/a/config",
    "objects/info/alternates",
    "objects/info/commit-graph",
    "objects/pack/multi-pack-index",
    "objects/pack/pack-0000000000000000000000000000000000000000.idx",
    "objects/pack/pack-0000000000000000000000000000000000000000.pack",
    "objects/01/23456789012345678901234567890123456789",
];

/// The names that a section may replace by a link to the outside.
const LINKS: &[&str] = &[
    "HEAD",
    "config",
    "index",
    "packed-refs",
    "hooks",
    "info",
    "logs",
    "logs/HEAD",
    "logs/refs",
    "logs/refs/heads",
    "logs/refs/heads/main",
    "objects/info",
    "objects/pack",
    "refs",
    "refs/heads",
    "refs/heads/main",
];

/// Builds a project from the input, imports and reads its history, and saves to it.
///
/// # Panics
///
/// If a promise is broken.
pub fn git(data: &[u8]) {
    let scene = Scene::new();
    build(&scene, data);
    let before = scene.surroundings();

    let limits = FileLimits { max_file_bytes: 1 << 20, max_project_bytes: 1 << 20, max_files: 100 };
    let projects = Projects::new(Volume::new(scene.data(), None), limits, importer(&scene));
    let key = ProjectKey { user: ID.parse().expect("an id"), project: ID.parse().expect("an id") };
    read(&projects, key);
    let page: ProjectPath = "index.html".parse().expect("a path");
    let changes = Changes {
        write: [(page, Source::Bytes(b"<p>new".to_vec()))].into(),
        remove: ["folder/a.txt".parse().expect("a path")].into(),
        message: "a page".to_owned(),
        keep_unsaved: true,
        ..Changes::default()
    };
    // Whatever the history was, the project can still be saved.
    projects.publish(key, &changes).expect("it is saved");
    let (patience, _waiting) = Patience::begin();
    let log = projects
        .log(key, Part { limit: 10, ..Part::default() }, &patience)
        .map(|log| log.versions)
        .unwrap_or_default();
    for version in &log {
        let Ok(id) = version.hash.parse() else {
            continue;
        };
        if let Ok(diff) = projects.open(key).and_then(|project| project.diff(&id, &patience)) {
            assert!(!diff.text.contains(SECRET), "a difference shows what is outside");
        }
        drop(projects.restore(key, &id, &patience));
    }
    read(&projects, key);
    assert_eq!(scene.surroundings(), before, "something outside the project has changed");
}

/// Makes an importer that works without a sandbox, because libFuzzer would not see the code of
/// another process.
fn importer(scene: &Scene) -> Importer {
    let place = scene.path("scratch");
    fs::create_dir_all(&place).expect("a folder");
    Importer::new(move |git, limits, receive| {
        let copy = tempfile::tempdir_in(&place).expect("a folder");
        copy_repository(git, &Dir::open_root(copy.path()).expect("it was made"))?;
        let mut stream = Vec::new();
        let walked = walk(&copy.path().join(ImportFolder::COPY), limits, &mut stream);
        walked.map_err(|error| ForeignError::Refused(error.to_string()))?;
        assert!(receive(&mut stream.as_slice()), "what is sent is received");
        Ok(String::new())
    })
}

/// Reads everything of a project that an endpoint can read.
fn read(projects: &Projects, key: ProjectKey) {
    let Ok(project) = projects.open(key) else {
        return;
    };
    for listed in project.list().unwrap_or_default() {
        let path: RequestPath = listed.path.as_str().parse().expect("a path that is listed");
        if let Ok(open) = project.read(&path) {
            let content = std::io::read_to_string(&*open.file).unwrap_or_default();
            assert!(!content.contains(SECRET), "{} shows what is outside", path.as_str());
        }
    }
}

fn build(scene: &Scene, data: &[u8]) {
    let project = scene.project();
    let dot_git = project.join(".git");
    let mut options = git2::RepositoryInitOptions::new();
    options.external_template(false).initial_head("main").bare(true);
    let repository = Repository::init_opts(&dot_git, &options).expect("a repository");
    let mut objects: Vec<git2::Oid> = Vec::new();
    for (name, content) in sections(data) {
        let binary = name == "object tree";
        let content = with_ids(content, &objects, binary);
        if let Some(kind) = name.strip_prefix("object ").and_then(kind) {
            let odb = repository.odb().expect("objects");
            if let Ok(id) = odb.write(kind, &content) {
                objects.push(id);
            }
        } else if name == "link objects" {
            // The folders in which new objects would be stored, for every first byte of a hash.
            for first in 0..=255_u8 {
                let folder = dot_git.join(format!("objects/{first:02x}"));
                if !folder.exists() {
                    link(&folder, &scene.path("data/outside"));
                }
            }
        } else if let Some(name) = name.strip_prefix("link ") {
            if LINKS.contains(&name) {
                let outside = scene.path("data/outside");
                let file = ["HEAD", "config", "index", "main", "packed-refs"];
                let is_file = file.iter().any(|file| name.ends_with(file));
                link(
                    &dot_git.join(name),
                    &if is_file { outside.join("secret.txt") } else { outside },
                );
            }
        } else if let Some(name) = name.strip_prefix("work link ") {
            if is_plain(name) {
                link(&project.join(name), &scene.path("data/outside/secret.txt"));
            }
        } else if let Some(name) = name.strip_prefix("work ") {
            if is_plain(name) {
                put(&project.join(name), &content);
            }
        } else if FILES.contains(&name) {
            put(&dot_git.join(name), &content);
        }
    }
}

fn kind(name: &str) -> Option<ObjectType> {
    match name {
        "commit" => Some(ObjectType::Commit),
        "tree" => Some(ObjectType::Tree),
        "blob" => Some(ObjectType::Blob),
        "tag" => Some(ObjectType::Tag),
        _ => None,
    }
}

fn sections(data: &[u8]) -> Vec<(&str, &[u8])> {
    let mut found = Vec::new();
    let mut rest = data.strip_prefix(b"== ".as_slice());
    while let Some(section) = rest {
        let end = section.windows(4).position(|part| part == b"\n== ");
        let (this, next) = end.map_or((section, None), |end| {
            let (this, next) = section.split_at(end);
            (this, next.strip_prefix(b"\n== ".as_slice()))
        });
        let line = this.iter().position(|b| *b == b'\n').unwrap_or(this.len());
        let (name, content) = this.split_at(line);
        if let Ok(name) = std::str::from_utf8(name) {
            found.push((name, content.strip_prefix(b"\n".as_slice()).unwrap_or(content)));
        }
        rest = next;
    }
    found
}

/// Replaces `<0>` to `<9>` by the hashes of the objects before.
fn with_ids(content: &[u8], objects: &[git2::Oid], binary: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some((first, after)) = rest.split_first() {
        let number = match rest {
            [b'<', digit @ b'0'..=b'9', b'>', ..] => Some(usize::from(digit - b'0')),
            _ => None,
        };
        if let Some(id) = number.and_then(|number| objects.get(number)) {
            if binary {
                out.extend(id.as_bytes());
            } else {
                out.extend(id.to_string().as_bytes());
            }
            rest = rest.get(3..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

/// Whether a text is a single name in the project, and not `.git`.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() < 200 && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// Writes a file. One that cannot be written because of what exists already is left out.
fn put(path: &Path, content: &[u8]) {
    // An earlier section may have made a link here, through which this must not write.
    let parent = path.parent().expect("a file is in a folder");
    if fs::create_dir_all(parent).is_ok() && parent.canonicalize().is_ok_and(|p| p == parent) {
        drop(fs::remove_file(path));
        drop(fs::write(path, content));
    }
}

fn link(path: &Path, target: &Path) {
    drop(fs::remove_file(path));
    drop(fs::remove_dir_all(path));
    let parent = path.parent().expect("a link is in a folder");
    if fs::create_dir_all(parent).is_ok() {
        drop(symlink(target, path));
    }
}
