//! The projects and assets on the volume. Only this module opens paths below it.

pub mod assets;
pub mod projects;
pub mod skills;
pub mod volume;

use std::path::PathBuf;

use assets::{AssetLimits, Assets};
use projects::{FileLimits, Importer, Projects};
use volume::{Link, Volume};

/// The settings of the volume.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The volume with the projects and assets of all users.
    pub data_dir: PathBuf,
    /// How the volume is committed. `None` if it needs no commits, like an ordinary disk.
    pub link: Option<Link>,
    /// The read-only folder with the shared skills.
    pub global_dir: PathBuf,
    /// The limits of a project's files.
    pub files: FileLimits,
    /// The limits of assets, and the beginning of their URLs.
    pub assets: AssetLimits,
}

/// The volume and everything on it.
#[derive(Debug, Clone)]
pub struct Store {
    /// The volume itself.
    pub volume: Volume,
    /// All projects.
    pub projects: Projects,
    /// All assets.
    pub assets: Assets,
}

impl Store {
    /// Makes a store from its settings and from the importer of other programs' histories. This
    /// opens no file.
    pub fn new(settings: &Settings, importer: Importer) -> Self {
        let volume = Volume::new(&settings.data_dir, settings.link.as_ref());
        Self {
            projects: Projects::new(volume.clone(), settings.files, importer),
            assets: Assets::new(volume.clone(), settings.assets.clone()),
            volume,
        }
    }
}
