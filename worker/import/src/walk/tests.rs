//! Repositories that libgit2 or the tests wrote are sent, received and compared.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid, Repository, Signature, Time};

use super::*;
use crate::frames::Kind;
use crate::id::Id;
use crate::limits::{MAX_COMMIT_BYTES, MAX_OBJECTS};
use crate::object::Unsound;
use crate::receive::{Event, Head, History, receive};

const LIMITS: Limits = Limits {
    file_bytes: 100_000,
    version_entries: 1000,
    version_bytes: 1_000_000,
    history_bytes: 10_000_000,
};
const FILE: &str = "100644";
const FOLDER: &str = "40000";

/// A repository into which a test writes any bytes as objects, sound or not.
struct Foreign {
    _temp: tempfile::TempDir,
    path: PathBuf,
    repository: Repository,
}

impl Foreign {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("git");
        let repository = Repository::init_bare(&path).unwrap();
        let this = Self { _temp: temp, path, repository };
        this.put("HEAD", "ref: refs/heads/main\n");
        this
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn object(&self, kind: ObjectType, content: &[u8]) -> Oid {
        self.repository.odb().unwrap().write(kind, content).unwrap()
    }

    fn file(&self, text: &str) -> Oid {
        self.object(ObjectType::Blob, text.as_bytes())
    }

    fn tree(&self, entries: &[(&str, &str, Oid)]) -> Oid {
        let mut content = Vec::new();
        for (mode, name, id) in entries {
            content.extend(format!("{mode} {name}\0").as_bytes());
            content.extend(id.as_bytes());
        }
        self.object(ObjectType::Tree, &content)
    }

    fn commit(&self, tree: Oid, parents: &[Oid], time: usize, message: &str) -> Oid {
        let mut text = format!("tree {tree}\n");
        for parent in parents {
            writeln!(text, "parent {parent}").unwrap();
        }
        let person = format!("a <a@b> {time} +0000");
        write!(text, "author {person}\ncommitter {person}\n\n{message}").unwrap();
        self.object(ObjectType::Commit, text.as_bytes())
    }

    /// Writes a version with one file.
    fn version(&self, number: usize, parents: &[Oid]) -> Oid {
        let file = self.file(&format!("text {number}"));
        self.commit(self.tree(&[(FILE, "a.txt", file)]), parents, number, "v")
    }

    /// Writes `count` versions, each the parent of the next, and sets the branch to the last.
    fn line(&self, count: usize) -> Vec<Oid> {
        let mut ids: Vec<Oid> = Vec::new();
        for number in 0..count {
            ids.push(self.version(number, ids.last().map_or(&[], std::slice::from_ref)));
        }
        self.branch("main", *ids.last().unwrap());
        ids
    }

    fn branch(&self, name: &str, id: Oid) {
        self.put(&format!("refs/heads/{name}"), format!("{id}\n"));
    }
}

/// What the worker's side received.
struct Received {
    history: History,
    objects: BTreeMap<Id, (Kind, Vec<u8>)>,
    summary: Summary,
}

fn id(oid: Oid) -> Id {
    Id::from_hex(oid.to_string().as_bytes()).unwrap()
}

fn imported_within(path: &Path, limits: &Limits) -> Received {
    let mut stream = Vec::new();
    let summary = walk(path, limits, &mut stream).unwrap();
    let mut objects = BTreeMap::new();
    let mut current = None;
    let history = receive::<Infallible>(&mut stream.as_slice(), limits, |event| {
        match event {
            Event::Count(_) => {}
            Event::Begin(kind, _) => current = Some((kind, Vec::new())),
            Event::Content(piece) => current.as_mut().unwrap().1.extend(piece),
            Event::End => {
                let (kind, content) = current.take().unwrap();
                let kind_of_git = match kind {
                    Kind::Blob => ObjectType::Blob,
                    Kind::Tree => ObjectType::Tree,
                    Kind::Tag => ObjectType::Tag,
                    _ => ObjectType::Commit,
                };
                let name = id(Oid::hash_object(kind_of_git, &content).unwrap());
                objects.insert(name, (kind, content));
            }
        }
        Ok(())
    });
    Received { history: history.unwrap(), objects, summary }
}

fn imported(foreign: &Foreign) -> Received {
    imported_within(&foreign.path, &LIMITS)
}

/// Whether the newest version of a history is `commit` on this branch.
fn is_at(received: &Received, branch: &str, commit: Oid) -> bool {
    let head = Head { branch: Some(format!("refs/heads/{branch}")), commit: id(commit) };
    received.history.head.as_ref() == Some(&head)
}

#[test]
fn a_whole_history_is_kept_with_its_ids() {
    let foreign = Foreign::new();
    let versions = foreign.line(50);
    let merge = foreign.version(60, &[versions[49], versions[10]]);
    foreign.branch("main", merge);
    foreign.branch("日本語/枝", versions[5]);
    let tag = format!("object {merge}\ntype commit\ntag v1\ntagger a <a@b> 1 +0000\n\nx");
    let tag = foreign.object(ObjectType::Tag, tag.as_bytes());
    foreign.put("packed-refs", format!("{tag} refs/tags/v1\n{} refs/tags/v0\n", versions[0]));
    foreign.put("refs/dreamcore/versions/1", versions[3].to_string());

    let received = imported(&foreign);
    assert!(is_at(&received, "main", merge));
    assert_eq!(received.history.versions, 51);
    assert!(received.history.cut.is_empty());
    assert_eq!(received.objects.len(), 51 * 3 + 1);
    assert_eq!(
        received.history.references,
        [
            ("refs/dreamcore/versions/1".to_owned(), id(versions[3])),
            ("refs/heads/日本語/枝".to_owned(), id(versions[5])),
            ("refs/tags/v0".to_owned(), id(versions[0])),
            ("refs/tags/v1".to_owned(), id(tag)),
        ]
    );
    assert_eq!(received.summary, Summary { versions: 51, ..Summary::default() });
}

#[test]
fn the_same_repository_gives_the_same_stream() {
    let foreign = Foreign::new();
    foreign.line(20);
    let stream = || {
        let mut stream = Vec::new();
        walk(&foreign.path, &LIMITS, &mut stream).unwrap();
        stream
    };
    assert_eq!(stream(), stream());
}

#[test]
fn what_is_no_repository_is_a_history_without_versions() {
    for (name, text) in [("HEAD", "nonsense"), ("objects", "a file"), ("packed-refs", "\0\0\0")] {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join(name), text).unwrap();
        let received = imported_within(temp.path(), &LIMITS);
        assert_eq!(received.history, History::default(), "{name}");
    }
    let foreign = Foreign::new();
    assert_eq!(imported(&foreign).history, History::default());
}

#[test]
fn a_history_is_cut_below_the_newest_version_that_is_sound() {
    let long = "x".repeat(usize::try_from(MAX_COMMIT_BYTES).unwrap());
    let foreign = Foreign::new();
    let old = foreign.line(10);
    let file = foreign.file("1");
    let tree = foreign.tree(&[(FILE, "a.txt", file)]);
    let bad = foreign.commit(tree, &old[9..], 100, &long);
    let first = foreign.version(101, &[bad]);
    let second = foreign.version(102, &[first]);
    foreign.branch("main", second);

    let received = imported(&foreign);
    assert!(is_at(&received, "main", second));
    assert_eq!(received.history.cut, [id(first)]);
    assert_eq!(received.history.versions, 2);
    assert_eq!(received.summary.reason, Some(Unsound::LongMessage));

    // If the unsound version is at the top, the first sound one below becomes the newest.
    foreign.branch("main", bad);
    let received = imported(&foreign);
    assert!(is_at(&received, "main", old[9]));
    assert_eq!((received.history.versions, received.history.cut.len()), (10, 0));
}

#[test]
fn a_merge_with_a_side_that_is_refused_has_no_parents() {
    let foreign = Foreign::new();
    let good = foreign.line(3);
    let bad = foreign.commit(foreign.file("no tree"), &[], 5, "bad");
    let merge = foreign.version(10, &[good[2], bad]);
    let top = foreign.version(11, &[merge, good[2]]);
    foreign.branch("main", top);
    let received = imported(&foreign);
    assert_eq!(received.history.cut, [id(merge)]);
    assert_eq!(received.history.versions, 5);
}

#[test]
fn a_missing_or_damaged_object_cuts_the_history_too() {
    for damage in ["gone", "empty", "changed", "longer"] {
        let foreign = Foreign::new();
        let versions = foreign.line(10);
        let file = foreign.file("text 4").to_string();
        let (fan, rest) = file.split_at(2);
        let path = foreign.path.join("objects").join(fan).join(rest);
        let other = foreign.file("another text, which is longer").to_string();
        let (fan, rest) = other.split_at(2);
        let other = foreign.path.join("objects").join(fan).join(rest);
        fs::remove_file(&path).unwrap();
        match damage {
            "gone" => {}
            "empty" => fs::write(&path, "").unwrap(),
            "changed" => drop(fs::copy(other, &path).unwrap()),
            _ => fs::write(&path, "x".repeat(1000)).unwrap(),
        }
        let received = imported(&foreign);
        assert_eq!(received.history.cut, [id(versions[5])], "{damage}");
        assert_eq!(received.history.versions, 5, "{damage}");
    }
}

#[test]
fn a_tree_that_stands_for_billions_of_files_is_no_version() {
    let foreign = Foreign::new();
    let versions = foreign.line(2);
    let mut tree = foreign.tree(&[(FILE, "a.txt", foreign.file("x"))]);
    let names: Vec<String> = (0..10).map(|number| format!("folder{number}")).collect();
    for _ in 0..11 {
        let entries: Vec<_> = names.iter().map(|name| (FOLDER, name.as_str(), tree)).collect();
        tree = foreign.tree(&entries);
    }
    foreign.branch("main", foreign.commit(tree, &versions[1..], 10, "bomb"));
    let received = imported(&foreign);
    assert!(is_at(&received, "main", versions[1]));
    assert_eq!(received.summary.reason, Some(Unsound::ManyFiles));
}

#[test]
fn versions_that_are_too_large_are_no_versions() {
    let large = "x".repeat(usize::try_from(LIMITS.file_bytes).unwrap() + 1);
    let foreign = Foreign::new();
    let versions = foreign.line(2);
    let large = foreign.tree(&[(FILE, "a", foreign.file(&large))]);
    let half = "y".repeat(usize::try_from(LIMITS.version_bytes / 11).unwrap());
    let many: Vec<_> = (0..12)
        .map(|number| (format!("{number:02}"), foreign.file(&format!("{half}{number}"))))
        .collect();
    let many: Vec<_> = many.iter().map(|(name, id)| (FILE, name.as_str(), *id)).collect();
    let many = foreign.tree(&many);
    let mut deep = foreign.tree(&[(FILE, "a", foreign.file("x"))]);
    for _ in 0..60 {
        deep = foreign.tree(&[(FOLDER, "d", deep)]);
    }
    for (tree, reason) in
        [(large, Unsound::ManyBytes), (many, Unsound::ManyBytes), (deep, Unsound::Deep)]
    {
        foreign.branch("main", foreign.commit(tree, &versions[1..], 10, "large"));
        let received = imported(&foreign);
        assert!(is_at(&received, "main", versions[1]));
        assert_eq!(received.summary.reason, Some(reason));
    }
}

#[test]
fn of_too_long_a_history_the_newest_versions_are_kept() {
    let foreign = Foreign::new();
    let versions = foreign.line(100);
    let limits = Limits { history_bytes: 4000, ..LIMITS };
    let received = imported_within(&foreign.path, &limits);
    assert!(is_at(&received, "main", versions[99]));
    let kept = received.history.versions as usize;
    assert!((5..50).contains(&kept), "{kept}");
    assert_eq!(received.history.cut, [id(versions[100 - kept])]);
    assert_eq!(received.summary.reason, Some(Unsound::LargeHistory));
}

#[test]
fn a_head_that_names_nothing_gets_the_newest_version_that_there_is() {
    let foreign = Foreign::new();
    let versions = foreign.line(5);
    foreign.put("refs/dreamcore/versions/1", versions[2].to_string());
    foreign.put("refs/dreamcore/versions/2", versions[3].to_string());
    for head in ["ref: refs/heads/gone", "ref: refs/heads/empty"] {
        foreign.put("refs/heads/empty", "");
        foreign.put("HEAD", head);
        let received = imported(&foreign);
        let branch = head.strip_prefix("ref: refs/heads/").unwrap();
        assert!(is_at(&received, branch, versions[3]), "{head}");
    }
    // If HEAD names no branch, `main` is tried first.
    foreign.put("HEAD", "\0nonsense");
    assert!(is_at(&imported(&foreign), "main", versions[4]));
    foreign.put("HEAD", format!("{}\n", versions[1]));
    let detached = Some(Head { branch: None, commit: id(versions[1]) });
    assert_eq!(imported(&foreign).history.head, detached);
}

#[test]
fn without_any_of_ours_the_newest_branch_is_taken() {
    let foreign = Foreign::new();
    let versions = foreign.line(3);
    fs::remove_file(foreign.path.join("refs/heads/main")).unwrap();
    foreign.branch("old", versions[0]);
    foreign.branch("new", versions[2]);
    foreign.branch("broken", foreign.file("no commit"));
    assert!(is_at(&imported(&foreign), "new", versions[2]));
}

#[test]
fn nothing_outside_the_objects_folder_is_read() {
    let other = Foreign::new();
    let secret = other.line(2);
    let foreign = Foreign::new();
    let objects = other.path.join("objects").display().to_string();
    foreign.put("objects/info/alternates", format!("{objects}\n"));
    foreign.put("commondir", other.path.display().to_string());
    foreign.put("info/grafts", format!("{}\n", secret[1]));
    foreign.branch("main", secret[1]);
    // The folder that names other places of objects: the worker does not copy it.
    fs::remove_dir_all(foreign.path.join("objects/info")).unwrap();
    assert_eq!(imported(&foreign).history, History::default());
}

#[test]
fn an_octopus_of_many_versions_is_counted_once() {
    let foreign = Foreign::new();
    let roots: Vec<Oid> = (0..20).map(|number| foreign.version(number, &[])).collect();
    let mut last = foreign.version(100, &roots);
    for number in 101..120 {
        last = foreign.version(number, &[&[last][..], &roots].concat());
    }
    foreign.branch("main", last);
    let received = imported(&foreign);
    assert_eq!(received.history.versions, 40);
    assert!(received.history.objects < MAX_OBJECTS);
}

/// The command line of git packs objects as deltas. They are read, and their ids stay the same.
#[test]
fn packs_with_deltas_are_read() {
    let foreign = Foreign::new();
    let person = Signature::new("a", "a@b", &Time::new(1, 0)).unwrap();
    let mut text = "line\n".repeat(1000);
    let mut parent = None;
    for number in 0..50 {
        writeln!(text, "{number}").unwrap();
        let tree = foreign.tree(&[(FILE, "a", foreign.file(&text))]);
        let tree = foreign.repository.find_tree(tree).unwrap();
        let parents: Vec<_> =
            parent.iter().map(|id| foreign.repository.find_commit(*id).unwrap()).collect();
        let parents: Vec<_> = parents.iter().collect();
        let id = foreign.repository.commit(None, &person, &person, "v", &tree, &parents).unwrap();
        parent = Some(id);
    }
    foreign.branch("main", parent.unwrap());
    let before = imported(&foreign);

    let packed = Foreign::new();
    let mut builder = foreign.repository.packbuilder().unwrap();
    let mut newest = foreign.repository.revwalk().unwrap();
    newest.push(parent.unwrap()).unwrap();
    builder.insert_walk(&mut newest).unwrap();
    builder.write(&packed.path.join("objects/pack"), 0o444).unwrap();
    packed.branch("main", parent.unwrap());
    let after = imported(&packed);
    assert_eq!(after.history, before.history);
    assert_eq!(after.objects, before.objects);
}
