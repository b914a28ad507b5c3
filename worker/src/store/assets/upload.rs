//! An upload, from its first bytes to an asset.
//!
//! Nothing is on the disk before the first bytes have said what they are. Then they are written
//! under a hidden name, and only when all of it and its record are safe does it get its own.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use super::{
    Asset, AssetError, AssetKind, Assets, ContentHash, Home, SNIFFED_BYTES, record, trash,
};
use crate::safe_fs::{Dir, WriteOptions, empty};
use crate::types::{AssetId, FileName, UserId};

/// Prefix of folders that are being filled; hidden, so never listed.
pub(super) const STAGING_PREFIX: &str = ".dreamcore-tmp-";
/// The name of the bytes until it is known how they end.
const CONTENT: &str = "content";

/// An upload under way. Dropped before it is finished, it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    assets: Assets,
    user: UserId,
    /// What came first, until there is enough of it to tell the kind.
    start: Vec<u8>,
    staged: Option<Staged>,
}

/// A folder that is being filled.
#[derive(Debug)]
struct Staged {
    home: Home,
    folder: Dir,
    name: String,
    kind: AssetKind,
    file: File,
    hasher: Sha256,
    size: u64,
}

impl Assets {
    /// Begins an upload for a user.
    pub fn upload(&self, user: UserId) -> Upload {
        Upload { assets: self.clone(), user, start: Vec::new(), staged: None }
    }
}

impl Upload {
    /// Takes the next bytes. Blocking.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), AssetError> {
        let max = self.assets.limits.max_bytes;
        let before = self.staged.as_ref().map_or(self.start.len() as u64, |staged| staged.size);
        if before + bytes.len() as u64 > max {
            return Err(AssetError::TooLarge(max));
        }
        if let Some(staged) = &mut self.staged {
            return Ok(staged.write(bytes)?);
        }
        self.start.extend_from_slice(bytes);
        if self.start.len() >= SNIFFED_BYTES {
            self.stage()?;
        }
        Ok(())
    }

    /// Makes it an asset. When this returns, it is on the disk. Blocking.
    pub fn finish(mut self, filename: FileName) -> Result<Asset, AssetError> {
        if self.staged.is_none() {
            if self.start.is_empty() {
                return Err(AssetError::Empty);
            }
            self.stage()?;
        }
        // Left where it is, so that a failure takes the folder away.
        let Some(staged) = &mut self.staged else {
            return Err(AssetError::Empty);
        };
        let asset = staged.complete(filename)?;
        let locked = staged.home.lock()?;
        staged.home.tidy();
        trash::check_quota(&staged.home, &self.assets.limits, asset.size)?;
        let home = &staged.home.dir;
        home.rename_to(&staged.name, home, &asset.id.to_string())?;
        home.sync()?;
        drop(locked);
        self.staged = None;
        Ok(asset)
    }

    /// The first bytes decide the kind, and go to the disk.
    fn stage(&mut self) -> Result<(), AssetError> {
        let kind = AssetKind::of(&self.start).ok_or(AssetError::Kind)?;
        let home = self.assets.home(self.user, true)?;
        let name = format!("{STAGING_PREFIX}{}", AssetId::fresh());
        let folder = home.dir.make_folder(&name)?;
        let file = folder.write_new(CONTENT, WriteOptions::default(), |file| file.try_clone());
        let file = file.inspect_err(|_| drop(home.dir.remove_empty_folder(&name)))?;
        let (hasher, size) = (Sha256::new(), 0);
        let staged = self.staged.insert(Staged { home, folder, name, kind, file, hasher, size });
        staged.write(&std::mem::take(&mut self.start))?;
        Ok(())
    }
}

impl Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Gives the bytes their name, and the record to them; both are on the disk afterwards.
    fn complete(&mut self, filename: FileName) -> Result<Asset, AssetError> {
        self.file.sync_all()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let asset = Asset {
            id: AssetId::fresh(),
            filename,
            size: self.size,
            content_type: self.kind,
            sha256: ContentHash::of(self.hasher.clone().finalize().into()),
            created_ms: u64::try_from(now.as_millis()).unwrap_or_default(),
        };
        self.folder.rename_to(CONTENT, &self.folder, &asset.content_name())?;
        record::write(&self.folder, &asset)?;
        self.folder.sync()?;
        Ok(asset)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After it was finished there is no folder of this name any more, and the handle is that of
        // the asset: nothing may be removed through it.
        let Ok(folder) = self.home.dir.folder(&self.name) else {
            return;
        };
        let removed = empty(&folder).and_then(|()| {
            self.home.dir.remove_empty_folder(&self.name).map(drop).map_err(io::Error::other)
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "an upload that was not finished was left behind");
        }
    }
}
