//! Assets: files that users upload, stored beside their projects.
//!
//! An asset is a folder of its own that contains the bytes and a record about them. It is made as a
//! draft. A single rename creates, deletes or restores it, so after a crash it exists whole or not
//! at all, and two machines that write to one volume never write to the same file. Files that
//! another program has put beside these folders are ignored.

mod delete;
mod media;
mod quota;
mod record;
pub mod replace;
mod trash;
mod upload;
mod urls;

use std::io;
use std::time::Duration;

use nix::sys::stat::FileStat;

pub use media::{AssetKind, SNIFFED_BYTES};
pub use record::{Asset, ContentHash};
pub use upload::Upload;
pub use urls::{AssetUrls, UrlError};

use crate::safe_fs::{Dir, FileError, FolderLock, Kind};
use crate::store::volume::{Activity, Location, Volume, VolumeFile};
use crate::types::{AssetId, UserId};

/// The limits of uploads, and the beginning of their URLs.
#[derive(Debug, Clone)]
pub struct AssetLimits {
    /// The largest size of one asset, in bytes.
    pub max_bytes: u64,
    /// The largest size of all assets of one user together, in bytes.
    pub quota_bytes: u64,
    /// The largest number of assets of one user.
    pub max_count: usize,
    /// The beginning of the URLs of assets. `None` makes them relative.
    pub base_url: Option<String>,
}

/// How long a request waits for another change of the same user's assets.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Why an operation on an asset failed.
#[derive(Debug, thiserror::Error)]
pub enum AssetError {
    /// The asset does not exist.
    #[error("not found")]
    NotFound,
    /// The upload is empty.
    #[error("the file is empty")]
    Empty,
    /// The upload has more bytes than an asset may have.
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    /// The bytes are not of an accepted kind.
    #[error("the file is not an image, sound or font of a kind that is accepted")]
    Kind,
    /// The user's quota is used up.
    #[error("{0}")]
    Quota(String),
    /// Something on the volume is in the way or damaged.
    #[error("{0}")]
    Unusable(String),
    /// The disk or the volume is full.
    #[error("no space left")]
    Full,
    /// Any other error of the operating system.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for AssetError {
    fn from(error: io::Error) -> Self {
        FileError::from(error).into()
    }
}

impl From<FileError> for AssetError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::NotFound => Self::NotFound,
            FileError::NotRegular => {
                Self::Unusable("a link or a special file is in the way".to_owned())
            }
            FileError::Full => Self::Full,
            FileError::Io(error) => Self::Io(error),
        }
    }
}

/// The assets of all users.
#[derive(Debug, Clone)]
pub struct Assets {
    volume: Volume,
    limits: AssetLimits,
}

/// An asset that is open for reading.
#[derive(Debug)]
pub struct OpenAsset {
    /// The record of the asset.
    pub asset: Asset,
    /// The open file with the bytes.
    pub file: VolumeFile,
    /// Their status when they were opened.
    pub stat: FileStat,
}

/// The folder of one user's assets.
#[derive(Debug)]
struct Home {
    dir: Dir,
    user: UserId,
}

impl Assets {
    /// Makes a value for the assets on this volume.
    pub fn new(volume: Volume, limits: AssetLimits) -> Self {
        Self { volume, limits }
    }

    /// All assets of a user, the newest first. One that cannot be read is left out. Blocks.
    pub fn list(&self, user: UserId) -> Result<Vec<Asset>, AssetError> {
        let _pass = self.volume.enter(Activity::Read);
        let home = match self.home(user, false) {
            Ok(home) => home,
            Err(AssetError::NotFound) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        home.tidy();
        let mut assets = Vec::new();
        for id in home.ids()? {
            match home.dir.folder(id.to_string()).map_err(AssetError::from) {
                Ok(folder) => match record::read(&folder, id) {
                    Ok(asset) => assets.push(asset),
                    Err(error) => tracing::debug!(%user, %id, %error, "not an asset"),
                },
                Err(AssetError::NotFound | AssetError::Unusable(_)) => {}
                Err(error) => return Err(error),
            }
        }
        assets.sort_by(|a, b| b.created_ms.cmp(&a.created_ms).then(a.id.cmp(&b.id)));
        Ok(assets)
    }

    /// Opens an asset for reading. Blocks.
    pub fn open(&self, user: UserId, id: AssetId) -> Result<OpenAsset, AssetError> {
        let pass = self.volume.enter(Activity::Read);
        let home = self.home(user, false)?;
        // For a client, a link is the same as an asset that does not exist.
        let folder = home.dir.folder(id.to_string()).map_err(|error| match error {
            FileError::NotRegular => AssetError::NotFound,
            other => other.into(),
        })?;
        let asset = record::read(&folder, id)?;
        let (file, stat) = folder.file(&asset.content_name())?;
        if u64::try_from(stat.st_size).ok() != Some(asset.size) {
            return Err(AssetError::Unusable("an asset has another size than noted".to_owned()));
        }
        Ok(OpenAsset { asset, file: VolumeFile::new(file, pass), stat })
    }

    /// Opens the folder of a user's assets. If it does not exist and `make` is true, makes it.
    fn home(&self, user: UserId, make: bool) -> Result<Home, AssetError> {
        let place = Location::Assets(user);
        let dir = match self.volume.open(place) {
            Err(FileError::NotFound) if make => {
                let dir = self.volume.make(place)?;
                // A new folder must survive a power cut, or what is put into it would be lost.
                dir.sync_file_system()?;
                dir
            }
            result => result?,
        };
        Ok(Home { dir, user })
    }
}

impl Home {
    /// The ids of all folders that may be assets, in no particular order.
    fn ids(&self) -> Result<Vec<AssetId>, AssetError> {
        let mut ids = Vec::new();
        for entry in self.dir.entries()? {
            let id = entry.name_str().and_then(|name| {
                let id: AssetId = name.parse().ok()?;
                // The worker uses only this spelling of an id.
                (id.to_string() == name).then_some(id)
            });
            if let Some(id) = id
                && self.dir.status(entry.name()).is_ok_and(|stat| Kind::of(&stat) == Kind::Folder)
            {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Locks the user's assets against changes by other requests and workers of this machine.
    fn lock(&self) -> Result<FolderLock, AssetError> {
        let lock = self.dir.lock_within(LOCK_TIMEOUT)?;
        lock.ok_or_else(|| AssetError::Io(io::ErrorKind::TimedOut.into()))
    }
}
