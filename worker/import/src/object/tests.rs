//! The parsers accept what git writes and refuse what git would not write.

use git2::{ObjectType, Repository, Signature, Time};
use proptest::prelude::*;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

fn text(parts: &[&str]) -> Vec<u8> {
    parts.join("\n").into_bytes()
}

fn with_tree(rest: &[&str]) -> Vec<u8> {
    let tree = format!("tree {ID}");
    text(&[&[tree.as_str()], rest].concat())
}

#[test]
fn reads_commits_of_every_habit() {
    let person = "a <a@b> 1600000000 +0900";
    let (author, committer) = (format!("author {person}"), format!("committer {person}"));
    let parent = format!("parent {ID}");
    let read = commit(&with_tree(&[&parent, &parent, &author, &committer, "", "message"])).unwrap();
    assert_eq!(read.parents.len(), 2);
    assert_eq!(read.time_s, 1_600_000_000);
    for further in [
        &["", ""][..],
        &["encoding SHIFT_JIS", "", "\u{3042}"],
        &["gpgsig -----BEGIN", " abc", " -----END", "", "signed"],
        &["mergetag object x", " type commit", "", ""],
    ] {
        let lines = [&[author.as_str(), committer.as_str()], further].concat();
        assert!(commit(&with_tree(&lines)).is_ok(), "{further:?}");
    }
    for person in ["<> 0 +0000", "a <a> -5 +0000", "a <b <c> 1 +0000", "a <b>", "a <b> 1"] {
        let lines = [format!("author {person}"), format!("committer {person}")];
        assert!(commit(&with_tree(&[&lines[0], &lines[1], "", ""])).is_ok(), "{person}");
    }
}

#[test]
fn refuses_commits_that_git_could_not_read() {
    let (author, committer) = ("author a <b> 1 +0000", "committer a <b> 1 +0000");
    for lines in [
        vec![],
        vec![author],
        vec![committer, author, ""],
        vec!["parent 0123", author, committer, ""],
        vec![author, author, committer, ""],
        vec!["author a b 1 +0000", committer, ""],
        vec!["author a >b< 1 +0000", committer, ""],
        vec![author, "committer a <b> x +0000", ""],
        vec![author, "committer a <b> 99999999999999999999 +0000", ""],
        vec![author, "committer a <b> 1 +0000"],
    ] {
        assert_eq!(commit(&with_tree(&lines)), Err(Unsound::Commit), "{lines:?}");
    }
    assert_eq!(commit(b"tree 0\n"), Err(Unsound::Commit));
    let parents = vec![format!("parent {ID}"); MAX_PARENTS + 1];
    let mut lines: Vec<&str> = parents.iter().map(String::as_str).collect();
    lines.extend([author, committer, "", ""]);
    assert_eq!(commit(&with_tree(&lines)), Err(Unsound::ManyParents));
    let long = "x".repeat(usize::try_from(MAX_COMMIT_BYTES).unwrap());
    assert_eq!(commit(&with_tree(&[author, committer, "", &long])), Err(Unsound::LongMessage));
}

fn raw(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (mode, name) in entries {
        bytes.extend(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend(*name);
        bytes.push(0);
        bytes.extend([7; 20]);
    }
    bytes
}

#[test]
fn reads_trees_with_hidden_names_links_and_submodules() {
    use EntryKind::{File, Folder, Submodule};
    let bytes = raw(&[
        ("40000", b".claude"),
        ("100644", b"a.txt"),
        ("40000", b"a"),
        ("100755", b"a0"),
        ("160000", b"module"),
        ("120000", b"out"),
        ("040000", b"zero"),
    ]);
    let kinds: Vec<EntryKind> = tree(&bytes).unwrap().iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Folder, File, Folder, File, Submodule, File, Folder]);
    assert_eq!(tree(b""), Ok(Vec::new()));
}

#[test]
fn refuses_trees_that_git_could_not_read_or_that_lead_elsewhere() {
    for (mode, name) in [
        ("100644", &b""[..]),
        ("100644", b"."),
        ("100644", b".."),
        ("40000", b".git"),
        ("40000", b".GIT"),
        ("40000", b"git~1"),
        ("100644", b"a/b"),
        ("100644", &[b'a'; 256]),
        ("100600", b"a"),
        ("", b"a"),
        ("8", b"a"),
        ("+100644", b"a"),
        ("0000000100644", b"a"),
    ] {
        assert_eq!(tree(&raw(&[(mode, name)])), Err(Unsound::Tree), "{mode} {name:?}");
    }
    let file = "100644";
    for entries in [
        vec![(file, &b"b"[..]), (file, b"a")],
        vec![(file, b"a"), (file, b"a")],
        vec![(file, b"a"), (file, b"a.b"), ("40000", b"a")],
        vec![("40000", b"a"), (file, b"a.b")],
    ] {
        assert_eq!(tree(&raw(&entries)), Err(Unsound::Tree), "{entries:?}");
    }
    let whole = raw(&[(file, b"a")]);
    for end in 1..whole.len() {
        assert_eq!(tree(&whole[..end]), Err(Unsound::Tree), "{end}");
    }
}

#[test]
fn reads_tags_of_commits_only() {
    let object = format!("object {ID}");
    let read = |lines: &[&str]| tag(&text(&[&[object.as_str()], lines].concat()));
    assert!(read(&["type commit", "tag v1", "tagger a <b> 1 +0000", "", "x"]).is_ok());
    assert!(read(&["type commit", "tag v1", "", "x"]).is_ok());
    for lines in [
        &["type tree", "tag v1", ""][..],
        &["type tag", "tag v1", ""],
        &["tag v1", ""],
        &["type commit", "tagger a <b> 1 +0000", ""],
        &["type commit", "tag v1", "tagger a", ""],
    ] {
        assert_eq!(read(lines), Err(Unsound::Tag), "{lines:?}");
    }
}

/// Whether libgit2 reads an object. It must read every object that the parsers accept, because the
/// worker uses libgit2 on imported histories.
fn libgit2_reads(kind: ObjectType, bytes: &[u8]) -> bool {
    let temp = tempfile::tempdir().unwrap();
    git2::opts::strict_object_creation(false);
    let repository = Repository::init_bare(temp.path()).unwrap();
    let id = repository.odb().unwrap().write(kind, bytes).unwrap();
    match kind {
        ObjectType::Commit => repository.find_commit(id).is_ok(),
        ObjectType::Tree => repository.find_tree(id).is_ok(),
        _ => repository.find_tag(id).is_ok(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_commit_of_libgit2_is_read(
        name in "[a-z あ-ん]{1,20}[a-z]",
        seconds in 0..4_000_000_000_i64,
        zone in -720..840_i32,
        message in ".{0,200}",
    ) {
        let temp = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(temp.path()).unwrap();
        let tree = repository.treebuilder(None).unwrap().write().unwrap();
        let tree = repository.find_tree(tree).unwrap();
        let person = Signature::new(&name, "a@b", &Time::new(seconds, zone)).unwrap();
        let message = message.replace('\0', "");
        let id = repository.commit(None, &person, &person, &message, &tree, &[]).unwrap();
        let odb = repository.odb().unwrap();
        let read = commit(odb.read(id).unwrap().data()).unwrap();
        prop_assert_eq!(read.tree.to_string(), tree.id().to_string());
        prop_assert_eq!(read.time_s, seconds);
    }

    #[test]
    fn what_is_accepted_is_readable_for_libgit2(
        lines in proptest::collection::vec(
            prop_oneof![
                Just(format!("parent {ID}")),
                Just("author a <b> 1 +0000".to_owned()),
                Just("committer a <b> 1 +0000".to_owned()),
                "author [<>a ]{0,6}[0-9 +-]{0,8}",
                "committer [<>a ]{0,6}[0-9 +-]{0,8}",
                "[a-z ]{0,8}",
            ],
            0..6,
        ),
    ) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let bytes = with_tree(&lines);
        if commit(&bytes).is_ok() {
            prop_assert!(libgit2_reads(ObjectType::Commit, &bytes), "{:?}", lines);
        }
    }

    #[test]
    fn trees_that_are_accepted_are_readable_for_libgit2(
        entries in proptest::collection::vec(
            (prop_oneof!["100644", "40000", "120000", "160000", "0?[0-7]{1,6}"], "[.a-cG/~1]{0,4}"),
            0..4,
        ),
    ) {
        let entries: Vec<(&str, &[u8])> =
            entries.iter().map(|(mode, name)| (mode.as_str(), name.as_bytes())).collect();
        let bytes = raw(&entries);
        if tree(&bytes).is_ok() {
            prop_assert!(libgit2_reads(ObjectType::Tree, &bytes), "{:?}", entries);
        }
    }
}
