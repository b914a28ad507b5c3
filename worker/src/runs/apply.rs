//! Saving the files of an `apply_files` request as a version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::events::{Debug, Event};
use super::failure::Failure;
use super::log::LogWriter;
use super::phase::Phase;
use super::resources::Resources;
use super::run::Run;
use super::save::{SAVING, merge_warning};
use crate::blocking;
use crate::store::projects::{Changes, ProjectKey, Published, Source, StateChange};
use crate::store::volume::Place;
use crate::types::ProjectPath;

/// The changes that a client asks for.
#[derive(Debug)]
pub struct SentFiles {
    /// Files to create or replace.
    pub write: BTreeMap<ProjectPath, Vec<u8>>,
    /// Files to remove.
    pub remove: BTreeSet<ProjectPath>,
    /// The change of the relay's hidden state file, if there is one.
    pub state: Option<StateChange>,
    /// The message of the version.
    pub message: String,
}

/// Saves files, or reports why they cannot be saved. Calls `finished` when the content of the files
/// has been dropped, so that the caller can admit the next large request.
pub(super) async fn apply(
    resources: Arc<Resources>,
    files: Result<SentFiles, Failure>,
    finished: impl FnOnce(),
    run: Arc<Run>,
    log: LogWriter,
) {
    let result = match files {
        Ok(files) => {
            run.enter(Phase::Saving);
            log.write(Event::Status { message: SAVING.to_owned() }).await;
            save(&resources, run.project(), files).await
        }
        Err(failure) => Err(failure),
    };
    finished();
    match &result {
        Ok(_) => run.enter(Phase::Done),
        Err(failure) => run.fail(failure),
    }
    for event in last_events(result, run.began()) {
        log.write(event).await;
    }
}

async fn save(
    resources: &Resources,
    key: ProjectKey,
    files: SentFiles,
) -> Result<Published, Failure> {
    let projects = resources.projects.clone();
    let work = move || {
        let write = files.write.into_iter();
        let changes = Changes {
            write: write.map(|(path, bytes)| (path, Source::Bytes(bytes))).collect(),
            remove: files.remove,
            state: files.state,
            message: files.message,
            ..Changes::default()
        };
        projects.publish(key, &changes)
    };
    let saved = async { blocking::run(work).await?.map_err(Failure::from) };
    resources.volume.changing(Place::Project(key), saved).await
}

fn last_events(result: Result<Published, Failure>, began: Instant) -> Vec<Event> {
    let published = match result {
        Ok(published) => published,
        Err(failure) => {
            tracing::warn!(code = failure.code.as_str(), "not saved");
            return vec![Event::Error(failure)];
        }
    };
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let debug = Debug {
        exit_code: Some(0),
        elapsed_seconds: began.elapsed().as_secs_f64(),
        git_commit: published.version.clone(),
        ..Debug::default()
    };
    let mut events: Vec<_> = published.merged.as_ref().map(merge_warning).into_iter().collect();
    events.extend([
        Event::Debug(Box::new(debug)),
        Event::Result { files: published.files, summary: None, git_commit: published.version },
        Event::Done { exit_code: 0, duration_ms, generator: None },
    ]);
    events
}
