//! The context of one generation, which all of its phases share.

use std::sync::Arc;

use super::events::Event;
use super::log::LogWriter;
use super::resources::Resources;
use super::run::Run;
use crate::store::assets::AssetUrls;
use crate::store::projects::ProjectKey;
use crate::types::{Prompt, SkillName};

/// The request for a generation.
#[derive(Debug, Clone)]
pub struct GenerateRequest {
    /// The project that is made or changed.
    pub key: ProjectKey,
    /// The prompt for the assistant.
    pub prompt: Prompt,
    /// The skills that the assistant is told to load first.
    pub skills: Vec<SkillName>,
    /// The URLs that replace names of assets in the code that the run writes.
    pub asset_urls: Option<Arc<AssetUrls>>,
}

/// One generation: its request, what it works with, and its log.
#[derive(Debug)]
pub(super) struct Context {
    /// The resources that it shares with other runs.
    pub(super) resources: Arc<Resources>,
    /// The request.
    pub(super) request: GenerateRequest,
    /// The phase of the run, and whether it is cancelled.
    pub(super) run: Arc<Run>,
    /// The log to which the run writes its events.
    pub(super) log: LogWriter,
}

impl Context {
    /// Writes a status for the user. `message` is Japanese.
    pub(super) async fn say(&self, message: &str) {
        self.log.write(Event::Status { message: message.to_owned() }).await;
    }

    /// Writes a warning for the operator about something that does not end the run.
    pub(super) async fn warn(&self, message: String) {
        self.log.write(Event::Warning { message }).await;
    }
}
