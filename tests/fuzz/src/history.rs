//! The stream of an import program that an attacker has taken over. Whatever it contains, the
//! history that the worker accepts is whole and within the limits, and memory is bounded by the
//! bytes that came.
//!
//! The input is received twice: as it is, and with its ids corrected. A fuzzer cannot guess a hash,
//! so each object gets its right id, and references to the guessed id are changed too.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

use dreamcore_import::frames::{self, Kind};
use dreamcore_import::receive::Event;
use dreamcore_import::{Head, History, Id, Limits, is_branch, is_reference, object, receive};
use git2::{ObjectType, Oid};

const LIMITS: Limits =
    Limits { file_bytes: 4096, version_entries: 64, version_bytes: 16_384, history_bytes: 65_536 };

/// Receives the input as a stream.
///
/// # Panics
///
/// If a promise is broken.
pub fn history(data: &[u8]) {
    check(data);
    if let Some(repaired) = repaired(data) {
        check(&repaired);
    }
}

fn kind_of_git(kind: Kind) -> ObjectType {
    match kind {
        Kind::Tree => ObjectType::Tree,
        Kind::Blob => ObjectType::Blob,
        Kind::Tag => ObjectType::Tag,
        _ => ObjectType::Commit,
    }
}

fn name_of(kind: Kind, content: &[u8]) -> Id {
    let id = Oid::hash_object(kind_of_git(kind), content).expect("a hash");
    Id::from_hex(id.to_string().as_bytes()).expect("an id")
}

/// Receives a stream and checks the events.
fn check(data: &[u8]) {
    let mut objects: HashMap<Id, (Kind, Vec<u8>)> = HashMap::new();
    let mut current: Option<(Kind, Vec<u8>)> = None;
    let mut input = data;
    let received = receive::<Infallible>(&mut input, &LIMITS, |event| {
        match event {
            Event::Count(_) => {}
            Event::Begin(kind, _) => current = Some((kind, Vec::new())),
            Event::Content(piece) => {
                current.as_mut().expect("an object has begun").1.extend_from_slice(piece);
            }
            Event::End => {
                let (kind, content) = current.take().expect("an object has begun");
                objects.insert(name_of(kind, &content), (kind, content));
            }
        }
        Ok(())
    });
    let Ok(history) = received else { return };
    assert_eq!(objects.len(), history.objects as usize, "each object was told once");
    check_objects(&objects, &history);
    check_names(&objects, &history);
}

/// Checks that every object that an object refers to was received.
fn check_objects(objects: &HashMap<Id, (Kind, Vec<u8>)>, history: &History) {
    let has = |id: &Id, kind: ObjectType| {
        objects.get(id).is_some_and(|(found, _)| kind_of_git(*found) == kind)
    };
    for (id, (kind, content)) in objects {
        match kind_of_git(*kind) {
            ObjectType::Tree => {
                for entry in object::tree(content).expect("a tree that was received") {
                    let is_there = match entry.kind {
                        object::EntryKind::File => has(&entry.id, ObjectType::Blob),
                        object::EntryKind::Folder => has(&entry.id, ObjectType::Tree),
                        object::EntryKind::Submodule => true,
                    };
                    assert!(is_there, "{} is missing", entry.id);
                }
            }
            ObjectType::Commit => {
                let commit = object::commit(content).expect("a version that was received");
                assert!(has(&commit.tree, ObjectType::Tree), "{} is missing", commit.tree);
                let is_cut = history.cut.contains(id);
                let mut parents = commit.parents.iter();
                assert!(is_cut || parents.all(|parent| has(parent, ObjectType::Commit)));
            }
            ObjectType::Tag => {
                let target = object::tag(content).expect("a tag that was received");
                assert!(has(&target, ObjectType::Commit), "{target} is missing");
            }
            _ => assert!(content.len() as u64 <= LIMITS.file_bytes),
        }
    }
}

fn check_names(objects: &HashMap<Id, (Kind, Vec<u8>)>, history: &History) {
    let mut names = HashSet::new();
    for (name, id) in &history.references {
        assert!(is_reference(name) && objects.contains_key(id), "{name}");
        assert!(names.insert(name.as_str()), "{name} stands twice");
    }
    if let Some(Head { branch, commit }) = &history.head {
        let is_version =
            objects.get(commit).is_some_and(|(kind, _)| kind_of_git(*kind) == ObjectType::Commit);
        assert!(is_version, "HEAD is at no version");
        assert!(branch.as_deref().is_none_or(|name| is_branch(name) && names.insert(name)));
    }
}

/// The same stream with the right id for each object, as far as the stream can be parsed.
fn repaired(data: &[u8]) -> Option<Vec<u8>> {
    let mut input = data;
    let count = frames::read_start(&mut input).ok()??;
    let mut output = Vec::new();
    frames::write_start(&mut output, count).ok()?;
    let mut renamed: Vec<(Id, Id)> = Vec::new();
    while let Some(header) = frames::read_header(&mut input).ok()? {
        let length = usize::try_from(header.length).ok().filter(|length| *length <= 1 << 16)?;
        let (content, rest) = input.split_at_checked(length)?;
        input = rest;
        let content = with_names(content, &renamed);
        let known = renamed.iter().find(|(guessed, _)| *guessed == header.id);
        let id = match header.kind.object_name() {
            Some(_) => {
                let id = name_of(header.kind, &content);
                renamed.push((header.id, id));
                id
            }
            None => known.map_or(header.id, |(_, id)| *id),
        };
        frames::write(&mut output, header.kind, id, &content).ok()?;
        if header.kind == Kind::End || renamed.len() > 64 {
            break;
        }
    }
    Some(output)
}

/// Replaces guessed ids in a content, raw or in hexadecimal, by the right ones.
fn with_names(content: &[u8], renamed: &[(Id, Id)]) -> Vec<u8> {
    let mut content = content.to_vec();
    for (guessed, id) in renamed {
        let pairs = [
            (guessed.0.to_vec(), id.0.to_vec()),
            (guessed.to_string().into_bytes(), id.to_string().into_bytes()),
        ];
        for (from, to) in pairs {
            for place in 0..content.len() {
                if content.get(place..).is_some_and(|rest| rest.starts_with(&from)) {
                    content.splice(place..place + from.len(), to.iter().copied());
                }
            }
        }
    }
    content
}
