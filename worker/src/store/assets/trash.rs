//! Deleting so that it can be undone, and what is left to be cleared away.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::quota::{self, Amount};
use super::{Asset, AssetError, Assets, Home, record};
use crate::safe_fs::{Dir, FileError, empty};
use crate::store::volume::{Activity, TRASH, sweep};
use crate::types::{AssetId, UserId};

/// How long what was deleted can be had back.
pub(super) const KEPT: Duration = Duration::from_hours(30 * 24);
/// Most deleted assets that are removed in passing, so that no request pays for many.
const MAX_REMOVED: usize = 8;

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
        let _pass = self.volume.enter(Activity::Save);
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
        let _pass = self.volume.enter(Activity::Save);
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
        quota::check_restored(&home, &self.limits, asset.size)?;
        trash.rename_to(&name, &home.dir, &id.to_string())?;
        home.dir.sync()?;
        trash.sync()?;
        Ok(asset)
    }
}

/// How much is in a user's trash.
pub(super) fn amount(home: &Home) -> Result<Amount, AssetError> {
    let mut amount = Amount::default();
    let trash = match home.dir.folder(TRASH) {
        Ok(trash) => trash,
        Err(FileError::NotFound) => return Ok(amount),
        Err(error) => return Err(error.into()),
    };
    for Deleted { name, id, .. } in deleted(&trash)? {
        if let Ok(folder) = trash.folder(&name)
            && let Ok(asset) = record::read(&folder, id)
        {
            amount.add(&asset);
        }
    }
    Ok(amount)
}

impl Home {
    /// Clears away a few things whose time is over: uploads that a crash cut off, and what was
    /// deleted long ago. A failure is for the log; whoever comes next tries again.
    pub(super) fn tidy(&self) {
        if let Err(error) = self.try_tidy() {
            tracing::warn!(user = %self.user, %error, "a user's assets could not be tidied");
        }
    }

    fn try_tidy(&self) -> Result<(), AssetError> {
        sweep(&self.dir);
        let trash = match self.dir.folder(TRASH) {
            Ok(trash) => trash,
            Err(FileError::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let now = now();
        let is_over =
            |deleted: &Deleted| now.saturating_sub(Duration::from_secs(deleted.at)) > KEPT;
        for Deleted { name, .. } in deleted(&trash)?.into_iter().filter(is_over).take(MAX_REMOVED) {
            remove(&trash, &name)?;
        }
        Ok(())
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
