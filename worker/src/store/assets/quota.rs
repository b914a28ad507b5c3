//! The quota: how much of the volume one user's assets may use.

use super::AssetLimits;
use super::{Asset, AssetError, Home, record, trash};

/// A number of assets and their size.
#[derive(Debug, Clone, Copy, Default)]
struct Amount {
    count: u64,
    bytes: u64,
}

impl Amount {
    fn add(&mut self, asset: &Asset) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(asset.size);
    }
}

/// Checks whether a user may upload `size` more bytes. Deleted assets count too, but only against
/// twice the quota: so deleting makes room at once, but repeated uploading and deleting does not
/// fill the disk.
pub(super) fn check_new(home: &Home, limits: &AssetLimits, size: u64) -> Result<(), AssetError> {
    let amount = amount(home)?;
    check(amount, limits, size, 1)?;
    let mut with_trash = amount;
    trash::assets(home)?.iter().for_each(|asset| with_trash.add(asset));
    check(with_trash, limits, size, 2).map_err(|_| {
        let days = trash::KEPT.as_secs() / 86_400;
        AssetError::Quota(format!("too much was deleted in the last {days} days"))
    })
}

/// Checks whether a user may restore an asset of this size.
pub(super) fn check_restored(
    home: &Home,
    limits: &AssetLimits,
    size: u64,
) -> Result<(), AssetError> {
    check(amount(home)?, limits, size, 1)
}

/// The assets of a user that are not deleted.
fn amount(home: &Home) -> Result<Amount, AssetError> {
    let mut amount = Amount::default();
    for id in home.ids()? {
        if let Ok(folder) = home.dir.folder(id.to_string())
            && let Ok(asset) = record::read(&folder, id)
        {
            amount.add(&asset);
        }
    }
    Ok(amount)
}

fn check(amount: Amount, limits: &AssetLimits, size: u64, times: u64) -> Result<(), AssetError> {
    let (count, bytes) = (limits.max_count as u64, limits.quota_bytes);
    if amount.count >= count.saturating_mul(times) {
        return Err(AssetError::Quota(format!("a user may have {count} assets")));
    }
    if amount.bytes.saturating_add(size) > bytes.saturating_mul(times) {
        return Err(AssetError::Quota(format!("a user may have {bytes} bytes of assets")));
    }
    Ok(())
}
