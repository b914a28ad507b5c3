//! The layout of the volume: its folders. No other module knows their names.
//!
//! ```text
//! users/{user}/projects/{project}/             a project
//! users/{user}/projects/{project}/.git/        its versions
//! users/{user}/projects/{project}/.dreamcore/  a save that is under way, or was killed
//! users/{user}/assets/{asset}/                 an asset: its bytes and their record
//! users/{user}/assets/.trash/                  assets that were deleted
//! .dreamcore/keys/{key}                        what this worker marks its histories with
//! …/.dreamcore-tmp-{random}                    something that is being made beside its place
//! ```

use std::path::{Path, PathBuf};

use crate::types::{AssetId, ProjectId, UserId};

/// The folder in a project for saves. It is hidden, so half a save is never served.
pub(in crate::store) const SAVE: &str = ".dreamcore";
/// The folder of this volume's keys, below its root.
pub(in crate::store) const KEYS: &str = ".dreamcore/keys";
/// The folder of deleted assets, beside the other assets. It is hidden, so it is not taken for an
/// asset.
pub(in crate::store) const TRASH: &str = ".trash";

/// The beginning of the names of drafts. They are hidden, and no id begins like that.
pub(in crate::store) use crate::safe_fs::TEMPORARY_PREFIX as DRAFT;

/// A project and its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProjectKey {
    /// The owner.
    pub user: UserId,
    /// The id of the project.
    pub project: ProjectId,
}

impl ProjectKey {
    /// Where the project's folder is below a `volume`.
    pub fn folder_below(self, volume: &Path) -> PathBuf {
        volume.join(Location::Project(self).path())
    }
}

/// A folder of the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Location {
    /// The folder of all projects of a user.
    Projects(UserId),
    /// The folder of one project.
    Project(ProjectKey),
    /// The folder of all assets of a user.
    Assets(UserId),
    /// The folder of one asset.
    Asset(UserId, AssetId),
    /// The folder of all keys.
    Keys,
}

impl Location {
    /// The path below the volume's root. It consists of fixed words and ids, so no part of it leads
    /// up.
    pub(in crate::store) fn path(self) -> String {
        match self {
            Self::Projects(user) => format!("users/{user}/projects"),
            Self::Project(ProjectKey { user, project }) => {
                format!("users/{user}/projects/{project}")
            }
            Self::Assets(user) => format!("users/{user}/assets"),
            Self::Asset(user, asset) => format!("users/{user}/assets/{asset}"),
            Self::Keys => KEYS.to_owned(),
        }
    }
}
