//! Deleting an asset so that it can be undone, and undoing it.

use super::{Asset, AssetError, Assets, quota, record, trash};
use crate::safe_fs::FileError;
use crate::store::volume::{Activity, TRASH};
use crate::types::{AssetId, UserId};

impl Assets {
    /// Moves an asset to the trash. Blocking.
    pub fn delete(&self, user: UserId, id: AssetId) -> Result<(), AssetError> {
        let pass = self.volume.enter(Activity::Save);
        let home = self.home(user, false)?;
        let _locked = home.lock()?;
        home.tidy();
        let folder = home.dir.folder(id.to_string()).map_err(not_found_for_a_link)?;
        // A folder that only looks like an asset is somebody else's.
        record::read(&folder, id)?;
        let trash = home.dir.make_folder(TRASH)?;
        let name = format!("{id}.{}", trash::now().as_secs());
        home.dir.rename_to(&id.to_string(), &trash, &name)?;
        trash.sync()?;
        home.dir.sync()?;
        pass.changed();
        Ok(())
    }

    /// Takes an asset back out of the trash. One that is not deleted is no error. Blocking.
    pub fn restore(&self, user: UserId, id: AssetId) -> Result<Asset, AssetError> {
        let pass = self.volume.enter(Activity::Save);
        let home = self.home(user, false)?;
        let _locked = home.lock()?;
        match home.dir.folder(id.to_string()).map_err(AssetError::from) {
            Ok(folder) => return record::read(&folder, id),
            Err(AssetError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let trash = home.dir.folder(TRASH)?;
        let mut found: Vec<_> =
            trash::deleted(&trash)?.into_iter().filter(|d| d.id == id).collect();
        found.sort_by_key(|deleted| deleted.at);
        let name = found.pop().ok_or(AssetError::NotFound)?.name;
        let asset = record::read(&trash.folder(&name)?, id)?;
        quota::check_restored(&home, &self.limits, asset.size)?;
        trash.rename_to(&name, &home.dir, &id.to_string())?;
        home.dir.sync()?;
        trash.sync()?;
        pass.changed();
        Ok(asset)
    }
}

fn not_found_for_a_link(error: FileError) -> AssetError {
    match error {
        FileError::NotRegular => AssetError::NotFound,
        other => other.into(),
    }
}
