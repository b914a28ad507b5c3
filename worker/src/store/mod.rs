//! What lies on the volume, and the only module that opens paths below it.

pub mod assets;
pub mod projects;
pub mod skills;
pub mod volume;

use std::path::PathBuf;

use assets::{AssetLimits, Assets};
use projects::{FileLimits, Importer, Projects};
use volume::Volume;

/// What can be set of it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The volume with all users' projects.
    pub data_dir: PathBuf,
    /// The read-only volume with shared skills.
    pub global_dir: PathBuf,
    /// What may come out of a run and stand in a project.
    pub files: FileLimits,
    /// What users may upload, and where it is had from.
    pub assets: AssetLimits,
}

/// The volume and everything that is kept on it.
#[derive(Debug, Clone)]
pub struct Store {
    /// The volume itself.
    pub volume: Volume,
    /// Its projects.
    pub projects: Projects,
    /// Its uploaded files.
    pub assets: Assets,
}

impl Store {
    /// What these settings name, and what reads histories that another program wrote. Nothing is
    /// opened yet.
    pub fn new(settings: &Settings, importer: Importer) -> Self {
        let volume = Volume::new(&settings.data_dir);
        Self {
            projects: Projects::new(volume.clone(), settings.files, importer),
            assets: Assets::new(volume.clone(), settings.assets.clone()),
            volume,
        }
    }
}
