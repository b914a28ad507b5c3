//! What lies on the volume, and the only module that opens paths below it.

pub mod assets;
pub mod projects;
pub mod skills;
pub mod volume;

use crate::config::Config;
use assets::Assets;
use projects::{Importer, Projects};
use volume::Volume;

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
    pub fn new(config: &Config, importer: Importer) -> Self {
        let volume = Volume::new(&config.data_dir);
        Self {
            projects: Projects::new(volume.clone(), config.files, importer),
            assets: Assets::new(volume.clone(), config.assets.clone()),
            volume,
        }
    }
}
