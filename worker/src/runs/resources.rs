//! The resources that all runs share.

use super::guard::Guard;
use super::permits::{Line, Turns};
use super::proof::ProofWatch;
use super::settings::Settings;
use super::workspace::Scratch;
use crate::models;
use crate::models::broker::Broker;
use crate::sandbox::launch::Launcher;
use crate::store;
use crate::store::projects::Projects;
use crate::store::volume::Volume;
use crate::types::UserId;

/// The resources that all runs share.
#[derive(Debug)]
pub struct Resources {
    /// The settings of runs.
    pub settings: Settings,
    /// The settings of the volume.
    pub store: store::Settings,
    /// The settings of the model APIs.
    pub models: models::Settings,
    /// The volume.
    pub volume: Volume,
    /// The projects on the volume.
    pub projects: Projects,
    /// The scratch folder.
    pub scratch: Scratch,
    /// The line for slots, in which users are equals.
    pub slots: Line<UserId>,
    /// The lines for the turns of projects.
    pub turns: Turns,
    /// Gives runs access to the model API.
    pub broker: Broker,
    /// The watch over what runs use of the machine.
    pub guard: Guard,
    /// Starts the CLI in its sandbox.
    pub launcher: Launcher,
    /// The proof of the confinement.
    pub proof: ProofWatch,
}
