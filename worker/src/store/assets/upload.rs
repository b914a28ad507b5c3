//! An upload, from its first bytes to the finished asset.
//!
//! Nothing is written to the disk before the kind of the file is known from its first bytes. Then
//! the bytes are written to a draft, which gets its final name only when the bytes and the record
//! are on the disk.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use super::{
    Asset, AssetError, AssetKind, Assets, ContentHash, Home, SNIFFED_BYTES, quota, record,
};
use crate::safe_fs::WriteOptions;
use crate::store::volume::{Activity, Draft, Pass};
use crate::types::{AssetId, FileName, UserId};

/// The name of the file with the bytes while they arrive.
const CONTENT: &str = "content";

/// An upload that is going on. If it is dropped before it is finished, nothing is left of it.
#[derive(Debug)]
pub struct Upload {
    assets: Assets,
    user: UserId,
    /// The first bytes, until there are enough to find the kind.
    start: Vec<u8>,
    begun: Option<Begun>,
    /// Given back when everything has been closed and removed.
    pass: Pass,
}

/// An asset whose kind is known, and the part of it that has arrived.
#[derive(Debug)]
struct Begun {
    home: Home,
    draft: Draft,
    kind: AssetKind,
    file: File,
    hasher: Sha256,
    size: u64,
}

impl Assets {
    /// Begins an upload for a user.
    pub fn upload(&self, user: UserId) -> Upload {
        let pass = self.volume.enter(Activity::Upload);
        Upload { assets: self.clone(), user, start: Vec::new(), begun: None, pass }
    }
}

impl Upload {
    /// Takes the next bytes. Blocks.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), AssetError> {
        let max = self.assets.limits.max_bytes;
        let before = self.begun.as_ref().map_or(self.start.len() as u64, |begun| begun.size);
        if before + bytes.len() as u64 > max {
            return Err(AssetError::TooLarge(max));
        }
        if let Some(begun) = &mut self.begun {
            return Ok(begun.write(bytes)?);
        }
        self.start.extend_from_slice(bytes);
        if self.start.len() >= SNIFFED_BYTES {
            self.begin()?;
        }
        Ok(())
    }

    /// Makes the upload an asset. When this returns, the asset is on the disk. Blocks.
    pub fn finish(mut self, filename: FileName) -> Result<Asset, AssetError> {
        if self.begun.is_none() {
            if self.start.is_empty() {
                return Err(AssetError::Empty);
            }
            self.begin()?;
        }
        let Some(begun) = self.begun else {
            return Err(AssetError::Empty);
        };
        let (asset, home, draft) = begun.complete(filename)?;
        let _lock = home.lock()?;
        home.tidy();
        quota::check_new(&home, &self.assets.limits, asset.size)?;
        if !draft.finish(&asset.id.to_string())? {
            return Err(AssetError::Unusable("the id of a new asset is taken".to_owned()));
        }
        home.dir.sync()?;
        self.pass.changed();
        Ok(asset)
    }

    /// Finds the kind by the first bytes, and writes them to the disk.
    fn begin(&mut self) -> Result<(), AssetError> {
        let kind = AssetKind::of(&self.start).ok_or(AssetError::Kind)?;
        let home = self.assets.home(self.user, true)?;
        let draft = Draft::begin(&home.dir)?;
        let file =
            draft.dir().write_new(CONTENT, WriteOptions::default(), |file| file.try_clone())?;
        let (hasher, size) = (Sha256::new(), 0);
        let begun = self.begun.insert(Begun { home, draft, kind, file, hasher, size });
        begun.write(&std::mem::take(&mut self.start))?;
        Ok(())
    }
}

impl Begun {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Gives the bytes their final name in the draft, and writes the record. Both are on the disk
    /// afterwards.
    fn complete(self, filename: FileName) -> Result<(Asset, Home, Draft), AssetError> {
        self.file.sync_all()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let asset = Asset {
            id: AssetId::random(),
            filename,
            size: self.size,
            content_type: self.kind,
            sha256: ContentHash::of(self.hasher.finalize().into()),
            created_ms: u64::try_from(now.as_millis()).unwrap_or_default(),
        };
        let folder = self.draft.dir();
        folder.rename_to(CONTENT, folder, &asset.content_name())?;
        record::write(folder, &asset)?;
        folder.sync()?;
        Ok((asset, self.home, self.draft))
    }
}
