//! Where deleted assets wait for their restoration or their end, and what is left to be cleared
//! away.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Asset, AssetError, Home, record};
use crate::safe_fs::{Dir, FileError, empty};
use crate::store::volume::{TRASH, sweep};
use crate::types::AssetId;

/// How long a deleted asset can be restored.
pub(super) const KEPT: Duration = Duration::from_hours(30 * 24);
/// How many old deleted assets one request removes at most, so that it does not take long.
const MAX_REMOVED: usize = 8;

/// A deleted asset.
pub(super) struct Deleted {
    pub(super) name: String,
    pub(super) id: AssetId,
    /// The time of deletion, in seconds since 1970.
    pub(super) at: u64,
}

/// What a user has in the trash.
pub(super) fn assets(home: &Home) -> Result<Vec<Asset>, AssetError> {
    let trash = match home.dir.folder(TRASH) {
        Ok(trash) => trash,
        Err(FileError::NotFound) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let read = |Deleted { name, id, .. }| record::read(&trash.folder(&name).ok()?, id).ok();
    Ok(deleted(&trash)?.into_iter().filter_map(read).collect())
}

impl Home {
    /// Removes some old leftovers: uploads that were cut off by a crash, and assets that were
    /// deleted long ago. A failure is only logged, and the next request tries again.
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

/// The deleted assets. Names that this worker does not use are ignored.
pub(super) fn deleted(trash: &Dir) -> io::Result<Vec<Deleted>> {
    let entries = trash.entries()?;
    let ours = entries.iter().filter_map(|entry| {
        let name = entry.name_str()?;
        let (id, at) = name.split_once('.')?;
        Some(Deleted { name: name.to_owned(), id: id.parse().ok()?, at: at.parse().ok()? })
    });
    Ok(ours.collect())
}

/// Removes a folder and everything in it. It is not an error if another request has removed it
/// already.
fn remove(parent: &Dir, name: &str) -> Result<(), AssetError> {
    match parent.folder(name) {
        Ok(folder) => empty(&folder)?,
        Err(FileError::NotFound) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    parent.remove_empty_folder(name)?;
    Ok(())
}

pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
