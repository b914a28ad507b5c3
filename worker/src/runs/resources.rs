//! What all runs share.

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

/// Everything that a run takes from the worker.
#[derive(Debug)]
pub struct Resources {
    /// What can be set of runs.
    pub settings: Settings,
    /// What can be set of the volume.
    pub store: store::Settings,
    /// What can be set of the model APIs.
    pub models: models::Settings,
    /// Where projects are copied from and saved to.
    pub projects: Projects,
    /// Where private copies are made.
    pub scratch: Scratch,
    /// As many permits as runs may work at a time; the number names the private copy.
    pub slots: Line,
    /// One permit for each project.
    pub turns: Turns,
    /// Lends the model API.
    pub broker: Broker,
    /// Watches what runs take of the machine.
    pub guard: Guard,
    /// Starts the CLI in its sandbox.
    pub launcher: Launcher,
    /// What is proven of the sandbox.
    pub proof: ProofWatch,
}
