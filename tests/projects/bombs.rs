//! Repositories that git would not write: small on the disk, but without end for a program that
//! trusts them.

#![allow(clippy::unwrap_used, reason = "these are tests throughout")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use harness::git;
use sha1::{Digest as _, Sha1};

/// Git's modes of a file and of a folder in a tree.
pub(crate) const FILE: &str = "100644";
pub(crate) const FOLDER: &str = "40000";

/// The id of an object: 40 hexadecimal digits.
pub(crate) type Id = String;

/// A `.git` that a test builds.
pub(crate) struct Bomb {
    git: PathBuf,
}

/// Content that consists of a beginning and then of one byte, repeated.
pub(crate) struct Filled<'a> {
    pub(crate) start: &'a [u8],
    pub(crate) filler: u8,
    pub(crate) length: u64,
}

impl Filled<'_> {
    fn write(&self, mut to: impl FnMut(&[u8])) {
        let piece = vec![self.filler; 1 << 20];
        to(self.start);
        let mut left = self.length - self.start.len() as u64;
        while left > 0 {
            let most = usize::try_from(left).unwrap().min(piece.len());
            to(&piece[..most]);
            left -= most as u64;
        }
    }

    /// The id of an object with this content.
    pub(crate) fn id(&self, kind: &str) -> Id {
        let mut hash = Sha1::new();
        hash.update(format!("{kind} {}\0", self.length));
        self.write(|piece| hash.update(piece));
        hex(&hash.finalize())
    }
}

fn hex(bytes: &[u8]) -> Id {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn raw(id: &str) -> Vec<u8> {
    let pairs = id.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

impl Bomb {
    /// A project with one ordinary version, `eins`, on the branch `main`.
    pub(crate) fn new(project: &Path) -> Self {
        fs::create_dir_all(project).unwrap();
        fs::write(project.join("index.html"), "1\n").unwrap();
        git(project, &["init", "-q", "-b", "main"]);
        git(project, &["add", "-A"]);
        let person = ["-c", "user.name=Old", "-c", "user.email=old@x", "commit", "-qm", "eins"];
        git(project, &person);
        Self { git: project.join(".git") }
    }

    /// The ordinary version.
    pub(crate) fn first(&self) -> Id {
        git(&self.git, &["rev-parse", "refs/heads/main"]).trim().to_owned()
    }

    /// Writes a file of the folder.
    pub(crate) fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.git.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Sets the branch to this version.
    pub(crate) fn branch_at(&self, id: &str) {
        self.put("refs/heads/main", format!("{id}\n"));
    }

    /// Writes an object.
    pub(crate) fn object(&self, kind: &str, content: &[u8]) -> Id {
        let filled = Filled { start: content, filler: 0, length: content.len() as u64 };
        self.filled(kind, &filled)
    }

    /// Writes an object whose content is much larger than its file.
    pub(crate) fn filled(&self, kind: &str, content: &Filled<'_>) -> Id {
        let id = content.id(kind);
        self.loose(&id, &format!("{kind} {}\0", content.length), content);
        id
    }

    /// Writes the file of an object with any header.
    pub(crate) fn loose(&self, id: &str, header: &str, content: &Filled<'_>) {
        let (fan, rest) = id.split_at(2);
        let folder = self.git.join("objects").join(fan);
        fs::create_dir_all(&folder).unwrap();
        drop(fs::remove_file(folder.join(rest)));
        let file = BufWriter::new(File::create(folder.join(rest)).unwrap());
        let mut deflated = ZlibEncoder::new(file, Compression::fast());
        deflated.write_all(header.as_bytes()).unwrap();
        content.write(|piece| deflated.write_all(piece).unwrap());
        deflated.finish().unwrap().flush().unwrap();
    }

    /// Writes a tree.
    pub(crate) fn tree(&self, entries: &[(&str, &str, &str)]) -> Id {
        let mut content = Vec::new();
        for (mode, name, id) in entries {
            content.extend(format!("{mode} {name}\0").as_bytes());
            content.extend(raw(id));
        }
        self.object("tree", &content)
    }

    /// The text of a commit.
    pub(crate) fn commit_text(tree: &str, parents: &[&str], message: &str) -> String {
        let parents: Vec<_> = parents.iter().map(|id| format!("parent {id}\n")).collect();
        let person = "Old <old@x> 1700000000 +0900";
        let parents = parents.concat();
        format!("tree {tree}\n{parents}author {person}\ncommitter {person}\n\n{message}")
    }

    /// Writes a version.
    pub(crate) fn commit(&self, tree: &str, parents: &[&str], message: &str) -> Id {
        self.object("commit", Self::commit_text(tree, parents, message).as_bytes())
    }

    /// A tree of one file with this text.
    pub(crate) fn tree_of(&self, text: &str) -> Id {
        let file = self.object("blob", text.as_bytes());
        self.tree(&[(FILE, "index.html", &file)])
    }

    /// Writes a pack and its index.
    pub(crate) fn pack(&self, entries: &[PackEntry]) {
        let mut pack = b"PACK\0\0\0\x02".to_vec();
        pack.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
        let mut places: Vec<(Vec<u8>, u32)> = Vec::new();
        for entry in entries {
            let start = pack.len();
            places.push((raw(&entry.id), u32::try_from(start).unwrap()));
            head(&mut pack, entry.kind, entry.content.len());
            if let Some(base) = entry.base {
                let base = usize::try_from(places[base].1).unwrap();
                distance(&mut pack, start - base);
            }
            let mut deflated = ZlibEncoder::new(Vec::new(), Compression::best());
            deflated.write_all(&entry.content).unwrap();
            pack.extend(deflated.finish().unwrap());
        }
        let sum = Sha1::digest(&pack);
        pack.extend(sum);
        places.sort();

        let mut index = b"\xfftOc\0\0\0\x02".to_vec();
        for first in 0..=255_u8 {
            let count = places.iter().filter(|(id, _)| id[0] <= first).count();
            index.extend(u32::try_from(count).unwrap().to_be_bytes());
        }
        index.extend(places.iter().flat_map(|(id, _)| id));
        // No reader checks the checksums of single objects.
        index.extend(places.iter().flat_map(|_| [0; 4]));
        index.extend(places.iter().flat_map(|(_, place)| place.to_be_bytes()));
        index.extend(sum);
        let own = Sha1::digest(&index);
        index.extend(own);
        let name = hex(&sum);
        self.put(&format!("objects/pack/pack-{name}.pack"), pack);
        self.put(&format!("objects/pack/pack-{name}.idx"), index);
    }
}

/// An object in a pack.
pub(crate) struct PackEntry {
    pub(crate) kind: u8,
    /// The entry that a delta is based on.
    pub(crate) base: Option<usize>,
    pub(crate) content: Vec<u8>,
    pub(crate) id: Id,
}

/// The type of a delta in a pack.
pub(crate) const DELTA: u8 = 6;

fn head(pack: &mut Vec<u8>, kind: u8, length: usize) {
    let mut rest = length >> 4;
    let mut byte = kind << 4 | u8::try_from(length & 15).unwrap();
    while rest > 0 {
        pack.push(byte | 0x80);
        byte = u8::try_from(rest & 0x7f).unwrap();
        rest >>= 7;
    }
    pack.push(byte);
}

fn distance(pack: &mut Vec<u8>, mut distance: usize) {
    let mut bytes = vec![u8::try_from(distance & 0x7f).unwrap()];
    while distance >= 0x80 {
        distance = (distance >> 7) - 1;
        bytes.push(u8::try_from(distance & 0x7f).unwrap() | 0x80);
    }
    pack.extend(bytes.iter().rev());
}

/// A delta whose result is its base, repeated twice.
pub(crate) fn twice(length: usize) -> Vec<u8> {
    let mut delta = Vec::new();
    for mut length in [length, 2 * length] {
        while length >= 0x80 {
            delta.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        delta.push(u8::try_from(length).unwrap());
    }
    for _ in 0..2 {
        let mut copied = 0;
        while copied < length {
            let piece = (length - copied).min(0xff_ffff);
            // The instruction has all four bytes of the offset and all three of the length.
            delta.push(0xff);
            delta.extend(u32::try_from(copied).unwrap().to_le_bytes());
            delta.extend(&u32::try_from(piece).unwrap().to_le_bytes()[..3]);
            copied += piece;
        }
    }
    delta
}
