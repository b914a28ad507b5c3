//! Which folders there are on the volume. No other module knows their names.
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

/// A project's folder while it is being saved. Hidden, so nobody is served half a save.
pub(in crate::store) const SAVE: &str = ".dreamcore";
/// The keys of this volume's marks, below its root.
pub(in crate::store) const KEYS: &str = ".dreamcore/keys";
/// The folder of deleted assets beside the others. Hidden, so it is no asset.
pub(in crate::store) const TRASH: &str = ".trash";

/// The beginning of the name of something that is being made beside its place. Hidden, and no id
/// begins like that.
pub(in crate::store) use crate::safe_fs::TEMPORARY_PREFIX as DRAFT;

/// Whose project, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProjectKey {
    /// The owner.
    pub user: UserId,
    /// The project.
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
    /// All projects of a user.
    Projects(UserId),
    /// One project.
    Project(ProjectKey),
    /// All assets of a user.
    Assets(UserId),
    /// One asset.
    Asset(UserId, AssetId),
    /// All keys.
    Keys,
}

impl Location {
    /// Where it is below the volume's root: names with slashes between them, none of which leads
    /// up, because they are fixed words and ids.
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
