//! Streams that no honest program writes.

use std::convert::Infallible;

use proptest::prelude::*;
use sha1::{Digest as _, Sha1};

use super::*;

const LIMITS: Limits =
    Limits { file_bytes: 1000, version_entries: 50, version_bytes: 5000, history_bytes: 100_000 };

/// A builder of streams, of sound and of hostile ones.
#[derive(Default, Clone)]
struct Stream(Vec<u8>);

fn name_of(kind: Kind, content: &[u8]) -> Id {
    let mut hash = Sha1::new();
    hash.update(format!("{} {}\0", kind.object_name().unwrap(), content.len()));
    hash.update(content);
    Id(hash.finalize().into())
}

impl Stream {
    fn new(objects: u32) -> Self {
        let mut this = Self::default();
        frames::write_start(&mut this.0, objects).unwrap();
        this
    }

    fn frame(&mut self, kind: Kind, id: Id, content: &[u8]) {
        frames::write(&mut self.0, kind, id, content).unwrap();
    }

    fn object(&mut self, kind: Kind, content: &[u8]) -> Id {
        let id = name_of(kind, content);
        self.frame(kind, id, content);
        id
    }

    fn tree(&mut self, mode: &str, name: &str, id: Id) -> Id {
        let content = [format!("{mode} {name}\0").as_bytes(), &id.0].concat();
        self.object(Kind::Tree, &content)
    }

    fn commit(&mut self, kind: Kind, tree: Id, parents: &[Id]) -> Id {
        self.object(kind, commit(tree, parents).as_bytes())
    }

    fn end(&mut self) {
        self.frame(Kind::End, Id([0; 20]), &[]);
    }

    fn received(&self) -> Result<History, ReceiveError<Infallible>> {
        receive(&mut self.0.as_slice(), &LIMITS, |_| Ok(()))
    }

    fn refused(&self) -> String {
        self.received().unwrap_err().to_string()
    }
}

fn commit(tree: Id, parents: &[Id]) -> String {
    let parents: Vec<_> = parents.iter().map(|id| format!("parent {id}\n")).collect();
    let parents = parents.concat();
    format!("tree {tree}\n{parents}author a <b> 1 +0000\ncommitter a <b> 1 +0000\n\nx")
}

/// A stream that announces `objects` objects and holds a file, a tree and a version.
fn sound(objects: u32) -> (Stream, Id, Id) {
    let mut stream = Stream::new(objects);
    let file = stream.object(Kind::Blob, b"text");
    let tree = stream.tree("100644", "a.txt", file);
    let version = stream.commit(Kind::Commit, tree, &[]);
    (stream, tree, version)
}

#[test]
fn a_sound_stream_is_received() {
    let (mut stream, tree, first) = sound(5);
    let second = stream.commit(Kind::Commit, tree, &[first]);
    let unknown = Id([9; 20]);
    let cut = stream.commit(Kind::CutCommit, tree, &[unknown, second]);
    stream.frame(Kind::Reference, second, b"refs/heads/other");
    stream.frame(Kind::Head, cut, b"refs/heads/main");
    stream.end();
    let history = stream.received().unwrap();
    assert_eq!(history.head.unwrap().branch.unwrap(), "refs/heads/main");
    assert_eq!(history.references, [("refs/heads/other".to_owned(), second)]);
    assert_eq!((history.cut, history.versions, history.objects), (vec![cut], 3, 5));
    let mut empty = Stream::new(0);
    empty.end();
    assert_eq!(empty.received().unwrap(), History::default());
}

#[test]
fn an_object_that_comes_too_late_is_missing() {
    let file = name_of(Kind::Blob, b"text");
    let mut stream = Stream::new(2);
    stream.tree("100644", "a", file);
    assert!(stream.refused().contains("missing"));

    let (mut stream, tree, _) = sound(9);
    stream.commit(Kind::Commit, tree, &[Id([9; 20])]);
    assert!(stream.refused().contains("missing"));

    for wrong in ["40000", "100644"] {
        let (mut stream, tree, version) = sound(9);
        stream.tree(wrong, "a", if wrong == "40000" { version } else { tree });
        assert!(stream.refused().contains("missing"), "{wrong}");
    }
    let (mut stream, _, version) = sound(9);
    stream.commit(Kind::Commit, version, &[]);
    assert!(stream.refused().contains("missing"));
    let (mut stream, tree, _) = sound(9);
    stream.commit(Kind::Commit, tree, &[tree]);
    assert!(stream.refused().contains("missing"));
}

#[test]
fn an_object_under_the_name_of_another_is_refused() {
    for kind in [Kind::Blob, Kind::Commit] {
        let (mut stream, tree, _) = sound(9);
        let content = commit(tree, &[]).replace("\n\nx", "\n\ny");
        stream.frame(kind, Id([7; 20]), content.as_bytes());
        assert!(stream.refused().contains("another's name"));
    }
    // The object is announced as a version, but its id is the hash of a tag with the same text.
    let (mut stream, tree, _) = sound(9);
    let content = commit(tree, &[]).replace("\n\nx", "\n\ny");
    let id = name_of(Kind::Tag, content.as_bytes());
    stream.frame(Kind::Commit, id, content.as_bytes());
    assert!(stream.refused().contains("another's name"));
}

#[test]
fn too_much_of_anything_is_refused() {
    let long = vec![b'x'; 1001];
    let mut stream = Stream::new(1);
    stream.object(Kind::Blob, &long);
    assert!(stream.refused().contains("too large"));

    let (mut stream, tree, _) = sound(9);
    let message = "x".repeat(usize::try_from(MAX_COMMIT_BYTES).unwrap());
    stream.object(Kind::Commit, format!("{}{message}", commit(tree, &[])).as_bytes());
    assert!(stream.refused().contains("larger than"));

    // Ten folders with ten entries each are more than the fifty entries that a version may have.
    let (mut stream, tree, _) = sound(9);
    let ten = |inner: Id| {
        let names = b'a'..=b'j';
        names.flat_map(|n| [&b"40000 "[..], &[n, 0], &inner.0].concat()).collect::<Vec<_>>()
    };
    let wide = stream.object(Kind::Tree, &ten(tree));
    stream.object(Kind::Tree, &ten(wide));
    assert!(stream.refused().contains("too many files"));

    assert!(Stream::new(MAX_OBJECTS + 1).refused().contains("more than"));
    let mut stream = Stream::new(200);
    for number in 0..200_u8 {
        stream.object(Kind::Blob, &[number; 999]);
    }
    assert!(stream.refused().contains("too many bytes"));
}

#[test]
fn a_length_that_is_a_lie_takes_no_memory() {
    for kind in [Kind::Blob, Kind::Tree, Kind::Commit, Kind::Tag, Kind::Reference, Kind::Head] {
        for length in [u64::MAX, 1 << 40, 4 << 20, 900, 65_536] {
            let (mut stream, _, version) = sound(9);
            stream.frame(kind, version, &[]);
            let end = stream.0.len();
            stream.0[end - 8..].copy_from_slice(&length.to_be_bytes());
            assert!(stream.received().is_err(), "{kind:?} {length}");
        }
    }
}

#[test]
fn order_and_number_of_frames_matter() {
    // The stream holds fewer or more objects than it announces.
    for promised in [2, 4] {
        let (mut stream, ..) = sound(promised);
        stream.end();
        assert!(stream.received().is_err(), "{promised}");
    }
    let (mut stream, tree, _) = sound(4);
    let content = commit(tree, &[]);
    stream.object(Kind::Commit, content.as_bytes());
    stream.end();
    assert!(stream.refused().contains("twice"));

    let (mut stream, tree, version) = sound(4);
    stream.frame(Kind::Reference, version, b"refs/heads/a");
    stream.commit(Kind::Commit, tree, &[version]);
    stream.end();
    assert!(stream.refused().contains("after a reference"));

    let (mut stream, _, version) = sound(3);
    stream.frame(Kind::Head, version, b"refs/heads/a");
    stream.frame(Kind::Head, version, b"refs/heads/b");
    stream.end();
    assert!(stream.refused().contains("is none"));

    let (stream, ..) = sound(3);
    assert!(stream.refused().contains("broke off"));
    assert!(Stream::default().refused().contains("broke off"));
    assert!(Stream(vec![b'x'; 100]).refused().contains("another beginning"));
    let (mut stream, ..) = sound(3);
    stream.0.extend([b'?'; 29]);
    assert!(stream.refused().contains("another kind"));
}

#[test]
fn references_are_files_beside_one_another() {
    for (names, is_fine) in [
        (vec!["refs/heads/a", "refs/heads/b", "refs/heads/a-b"], true),
        (vec!["refs/heads/a", "refs/heads/a"], false),
        (vec!["refs/heads/a", "refs/heads/a/b"], false),
        (vec!["refs/heads/a/b", "refs/heads/a-b", "refs/heads/a"], false),
        (vec!["refs/heads/../../config"], false),
        (vec!["refs/stash"], false),
        (vec![""], false),
        (vec!["HEAD"], false),
    ] {
        let (mut stream, _, version) = sound(3);
        for name in &names {
            stream.frame(Kind::Reference, version, name.as_bytes());
        }
        stream.end();
        assert_eq!(stream.received().is_ok(), is_fine, "{names:?}");
    }
    for (branch, is_fine) in [
        ("", true),
        ("refs/heads/main", true),
        ("refs/tags/main", false),
        ("main", false),
        ("refs/heads/a", false),
        ("refs/heads/a/b", false),
    ] {
        let (mut stream, tree, version) = sound(3);
        stream.frame(Kind::Reference, version, b"refs/heads/a");
        stream.frame(Kind::Head, version, branch.as_bytes());
        stream.end();
        assert_eq!(stream.received().is_ok(), is_fine, "{branch}");
        let (mut stream, _, _) = sound(3);
        stream.frame(Kind::Head, tree, b"refs/heads/main");
        stream.end();
        assert!(stream.received().is_err(), "a folder is no version");
    }
    let (mut stream, _, version) = sound(3);
    for number in 0..=MAX_REFERENCES {
        stream.frame(Kind::Reference, version, format!("refs/heads/{number}").as_bytes());
    }
    stream.end();
    assert!(stream.received().is_err());
}

#[test]
fn a_tag_stands_for_a_version_that_came_before() {
    for (target, is_fine) in [("version", true), ("tree", false), ("unknown", false)] {
        let (mut stream, tree, version) = sound(4);
        let target = match target {
            "version" => version,
            "tree" => tree,
            _ => Id([9; 20]),
        };
        let tag =
            stream.object(Kind::Tag, format!("object {target}\ntype commit\ntag v\n").as_bytes());
        stream.frame(Kind::Reference, tag, b"refs/tags/v");
        stream.end();
        assert_eq!(stream.received().is_ok(), is_fine);
        // A branch must not refer to a tag.
        let mut other = stream.clone();
        other.0.truncate(other.0.len() - 29 - 11 - 29);
        other.frame(Kind::Reference, tag, b"refs/heads/v");
        other.end();
        assert!(other.received().is_err());
    }
}

proptest! {
    #[test]
    fn a_changed_byte_changes_no_object(place in 0..10_000_usize, change in 1..=255_u8) {
        let (mut stream, _, version) = sound(3);
        stream.frame(Kind::Reference, version, b"refs/heads/other");
        stream.frame(Kind::Head, version, b"refs/heads/main");
        stream.end();
        let place = place % stream.0.len();
        stream.0[place] ^= change;
        let mut told = Vec::new();
        let received = receive::<Infallible>(&mut stream.0.as_slice(), &LIMITS, |event| {
            if let Event::Content(piece) = event {
                told.extend(piece);
            }
            Ok(())
        });
        if let Ok(history) = received {
            // Changed bytes may still be a valid stream: they may have changed the name of a
            // reference, or have marked a version that has no parents as cut.
            prop_assert_eq!(history.versions, 1);
            prop_assert!(String::from_utf8_lossy(&told).starts_with("text"));
        }
    }

    #[test]
    fn noise_is_no_history(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut stream = Stream::new(3);
        stream.0.extend(&bytes);
        prop_assert!(stream.received().is_err());
    }
}
