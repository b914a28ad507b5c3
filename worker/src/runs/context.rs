//! What all phases of one generation share.

use std::sync::Arc;

use super::events::Event;
use super::log::LogWriter;
use super::resources::Resources;
use super::run::Run;
use crate::store::assets::AssetUrls;
use crate::store::projects::ProjectKey;
use crate::types::{Prompt, SkillName};

/// What is to be generated.
#[derive(Debug, Clone)]
pub struct GenerateRequest {
    /// The project that is made or changed.
    pub key: ProjectKey,
    /// What the user wants.
    pub prompt: Prompt,
    /// Skills that the assistant shall load first.
    pub skills: Vec<SkillName>,
    /// URLs to put into the code that the run writes.
    pub asset_urls: Option<Arc<AssetUrls>>,
}

/// One generation: what it is to do, with what, and where it says how it goes.
#[derive(Debug)]
pub(super) struct Context {
    /// What it shares with other runs.
    pub(super) resources: Arc<Resources>,
    /// What is asked for.
    pub(super) request: GenerateRequest,
    /// How far it is, and whether it is cancelled.
    pub(super) run: Arc<Run>,
    /// Its events.
    pub(super) log: LogWriter,
}

impl Context {
    /// Tells the user how it goes; `message` is Japanese.
    pub(super) async fn say(&self, message: &str) {
        self.log.write(Event::Status { message: message.to_owned() }).await;
    }

    /// Tells the operator of something that went differently than hoped, without harm.
    pub(super) async fn warn(&self, message: String) {
        self.log.write(Event::Warning { message }).await;
    }
}
