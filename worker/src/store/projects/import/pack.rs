//! Writes the objects of an imported history as one pack.
//!
//! A pack is one file instead of thousands, and volumes limit the number of files. Objects are
//! compressed but not stored as deltas. When a project has many packs, upkeep joins the small ones
//! and makes deltas.

use std::io::{self, Write as _};
use std::path::Path;

use dreamcore_import::frames::Kind;
use dreamcore_import::receive::Event;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use git2::Indexer;
use sha1::{Digest as _, Sha1};

use crate::store::projects::ProjectError;

/// How many compressed bytes are collected in memory before they are written.
const BUFFER_BYTES: usize = 64 * 1024;
/// The mode of a pack, which is never changed.
const MODE: u32 = 0o444;

/// A pack that is being written. libgit2 makes its index at the same time.
pub(super) struct Pack {
    indexer: Indexer<'static>,
    hash: Sha1,
    encoder: ZlibEncoder<Vec<u8>>,
}

impl Pack {
    /// Begins a pack in this folder.
    pub(super) fn begin(folder: &Path) -> Result<Self, ProjectError> {
        // References between objects were checked when the objects were received.
        let indexer = Indexer::new(None, folder, MODE, false)?;
        let encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        Ok(Self { indexer, hash: Sha1::new(), encoder })
    }

    /// Takes the next event about the objects.
    pub(super) fn take(&mut self, event: Event<'_>) -> Result<(), ProjectError> {
        match event {
            Event::Count(count) => {
                self.write(b"PACK\0\0\0\x02")?;
                self.write(&count.to_be_bytes())
            }
            Event::Begin(kind, length) => self.write(&head(kind, length)),
            Event::Content(piece) => {
                self.encoder.write_all(piece)?;
                if self.encoder.get_ref().len() < BUFFER_BYTES {
                    return Ok(());
                }
                let written = std::mem::take(self.encoder.get_mut());
                self.write(&written)
            }
            Event::End => {
                let rest = self.encoder.reset(Vec::new())?;
                self.write(&rest)
            }
        }
    }

    /// Finishes the pack. From then on it is a part of the repository.
    pub(super) fn finish(mut self) -> Result<(), ProjectError> {
        let sum = std::mem::take(&mut self.hash).finalize();
        self.indexer.write_all(&sum).map_err(refused)?;
        Ok(self.indexer.commit().map(drop)?)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ProjectError> {
        self.hash.update(bytes);
        self.indexer.write_all(bytes).map_err(refused)
    }
}

/// Converts an error of libgit2's writer, which wraps the error of libgit2.
fn refused(error: io::Error) -> ProjectError {
    match error.downcast::<git2::Error>() {
        Ok(error) => error.into(),
        Err(error) => error.into(),
    }
}

/// The header of an object in a pack: three bits for its kind, and its length with four bits in the
/// first byte and seven in each further one.
fn head(kind: Kind, length: u64) -> Vec<u8> {
    let kind = match kind {
        Kind::Tree => 2,
        Kind::Blob => 3,
        Kind::Tag => 4,
        _ => 1,
    };
    let low = |length: u64, mask: u8| length.to_le_bytes()[0] & mask;
    let mut bytes = vec![kind << 4 | low(length, 0x0f)];
    let mut rest = length >> 4;
    while rest > 0 {
        if let Some(last) = bytes.last_mut() {
            *last |= 0x80;
        }
        bytes.push(low(rest, 0x7f));
        rest >>= 7;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use git2::{ObjectType, Odb};

    use super::*;

    #[test]
    fn what_goes_in_is_found_again() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("pack");
        std::fs::create_dir(&folder).unwrap();
        let noise: Vec<u8> =
            (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let objects = [
            (Kind::Blob, ObjectType::Blob, b"".to_vec()),
            (Kind::Blob, ObjectType::Blob, b"text".to_vec()),
            (Kind::Blob, ObjectType::Blob, noise),
            (Kind::Tree, ObjectType::Tree, b"".to_vec()),
            (Kind::CutCommit, ObjectType::Commit, b"tree".to_vec()),
        ];
        let mut pack = Pack::begin(&folder).unwrap();
        pack.take(Event::Count(5)).unwrap();
        for (kind, _, content) in &objects {
            pack.take(Event::Begin(*kind, content.len() as u64)).unwrap();
            for piece in content.chunks(10_000) {
                pack.take(Event::Content(piece)).unwrap();
            }
            pack.take(Event::End).unwrap();
        }
        pack.finish().unwrap();
        let odb = Odb::new().unwrap();
        odb.add_disk_alternate(temp.path().to_str().unwrap()).unwrap();
        for (_, kind, content) in &objects {
            let id = git2::Oid::hash_object(*kind, content).unwrap();
            let found = odb.read(id).unwrap();
            assert_eq!((found.kind(), found.data()), (*kind, content.as_slice()));
        }
    }

    #[test]
    fn a_pack_with_another_number_of_objects_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let mut pack = Pack::begin(temp.path()).unwrap();
        pack.take(Event::Count(2)).unwrap();
        pack.take(Event::Begin(Kind::Blob, 1)).unwrap();
        pack.take(Event::Content(b"x")).unwrap();
        pack.take(Event::End).unwrap();
        assert!(pack.finish().is_err());
    }
}
