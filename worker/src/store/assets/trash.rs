//! Deleting so that it can be undone, and what is left to be cleared away.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::AssetLimits;
use super::upload::STAGING_PREFIX;
use super::{Asset, AssetError, Assets, Home, Usage, record};
use crate::safe_fs::{Dir, FileError, empty};
use crate::store::volume::TRASH;
use crate::types::{AssetId, UserId};

/// How long what was deleted can be had back.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// What is being filled for longer than that was left by a crash. An upload takes minutes at most.
const ABANDONED: Duration = Duration::from_hours(1);
/// Most folders that are cleared away in passing, so that no request pays for many.
const MAX_CLEARED: usize = 8;

/// Something in the trash.
struct Deleted {
    name: String,
    id: AssetId,
    /// Seconds since 1970.
    at: u64,
}

impl Assets {
    /// Moves an asset to the trash. Blocking.
    pub fn delete(&self, user: UserId, id: AssetId) -> Result<(), AssetError> {
        let home = self.home(user, false)?;
        let _locked = home.lock()?;
        home.tidy();
        let folder = home.dir.folder(id.to_string()).map_err(not_found_for_a_link)?;
        // A folder that only looks like an asset is somebody else's.
        record::read(&folder, id)?;
        let trash = home.dir.make_folder(TRASH)?;
        let name = format!("{id}.{}", now().as_secs());
        home.dir.rename_to(&id.to_string(), &trash, &name)?;
        trash.sync()?;
        home.dir.sync()?;
        Ok(())
    }

    /// Takes an asset back out of the trash. One that is not deleted is no error. Blocking.
    pub fn restore(&self, user: UserId, id: AssetId) -> Result<Asset, AssetError> {
        let home = self.home(user, false)?;
        let _locked = home.lock()?;
        match home.dir.folder(id.to_string()).map_err(AssetError::from) {
            Ok(folder) => return record::read(&folder, id),
            Err(AssetError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let trash = home.dir.folder(TRASH)?;
        let mut found: Vec<_> = deleted(&trash)?.into_iter().filter(|d| d.id == id).collect();
        found.sort_by_key(|deleted| deleted.at);
        let name = found.pop().ok_or(AssetError::NotFound)?.name;
        let asset = record::read(&trash.folder(&name)?, id)?;
        within(home.usage()?, &self.limits, asset.size, 1)?;
        trash.rename_to(&name, &home.dir, &id.to_string())?;
        home.dir.sync()?;
        trash.sync()?;
        Ok(asset)
    }
}

/// Whether so many bytes more are within the quota. What is in the trash counts as well, but only
/// against twice the quota: deleting makes room at once, and deleting for ever does not fill a disk.
pub(super) fn check_quota(home: &Home, limits: &AssetLimits, size: u64) -> Result<(), AssetError> {
    let usage = home.usage()?;
    within(usage, limits, size, 1)?;
    let with_trash = home.trashed()?.plus(usage);
    within(with_trash, limits, size, 2).map_err(|_| {
        let days = KEPT.as_secs() / 86_400;
        AssetError::Quota(format!("too much was deleted in the last {days} days"))
    })
}

fn within(usage: Usage, limits: &AssetLimits, size: u64, times: u64) -> Result<(), AssetError> {
    let (count, bytes) = (limits.max_count as u64, limits.quota_bytes);
    if usage.count >= count.saturating_mul(times) {
        return Err(AssetError::Quota(format!("a user may have {count} assets")));
    }
    if usage.bytes.saturating_add(size) > bytes.saturating_mul(times) {
        return Err(AssetError::Quota(format!("a user may have {bytes} bytes of assets")));
    }
    Ok(())
}

impl Home {
    fn trashed(&self) -> Result<Usage, AssetError> {
        let mut usage = Usage::default();
        let trash = match self.dir.folder(TRASH) {
            Ok(trash) => trash,
            Err(FileError::NotFound) => return Ok(usage),
            Err(error) => return Err(error.into()),
        };
        for Deleted { name, id, .. } in deleted(&trash)? {
            if let Ok(folder) = trash.folder(&name)
                && let Ok(asset) = record::read(&folder, id)
            {
                usage.add(&asset);
            }
        }
        Ok(usage)
    }

    /// Clears away a few things whose time is over: uploads that a crash cut off, and what was
    /// deleted long ago. A failure is for the log; whoever comes next tries again.
    pub(super) fn tidy(&self) {
        if let Err(error) = self.try_tidy() {
            tracing::warn!(user = %self.user, %error, "a user's assets could not be tidied");
        }
    }

    fn try_tidy(&self) -> Result<(), AssetError> {
        let now = now();
        let mut cleared = 0;
        for entry in self.dir.entries()? {
            let Some(name) = entry.name_str().filter(|name| name.starts_with(STAGING_PREFIX))
            else {
                continue;
            };
            let Ok(stat) = self.dir.status(name) else {
                continue;
            };
            let begun = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default());
            if now.saturating_sub(begun) > ABANDONED && cleared < MAX_CLEARED {
                remove(&self.dir, name)?;
                cleared += 1;
            }
        }
        let trash = match self.dir.folder(TRASH) {
            Ok(trash) => trash,
            Err(FileError::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for Deleted { name, at, .. } in deleted(&trash)? {
            if now.saturating_sub(Duration::from_secs(at)) > KEPT && cleared < MAX_CLEARED {
                remove(&trash, &name)?;
                cleared += 1;
            }
        }
        Ok(())
    }
}

impl Usage {
    fn plus(self, other: Self) -> Self {
        let bytes = self.bytes.saturating_add(other.bytes);
        Self { count: self.count + other.count, bytes }
    }
}

/// What is in the trash. Names that are not ours are passed over.
fn deleted(trash: &Dir) -> io::Result<Vec<Deleted>> {
    let entries = trash.entries()?;
    let ours = entries.iter().filter_map(|entry| {
        let name = entry.name_str()?;
        let (id, at) = name.split_once('.')?;
        Some(Deleted { name: name.to_owned(), id: id.parse().ok()?, at: at.parse().ok()? })
    });
    Ok(ours.collect())
}

/// Removes a folder of ours and what is in it. Another request may have been quicker.
fn remove(parent: &Dir, name: &str) -> Result<(), AssetError> {
    match parent.folder(name) {
        Ok(folder) => empty(&folder)?,
        Err(FileError::NotFound) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    parent.remove_empty_folder(name)?;
    Ok(())
}

fn not_found_for_a_link(error: FileError) -> AssetError {
    match error {
        FileError::NotRegular => AssetError::NotFound,
        other => other.into(),
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
