//! Files that a client sends become a version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::events::{Debug, Event, EventSink};
use super::failure::Failure;
use super::generate::SAVING;
use super::{Runs, merge_warning};
use crate::blocking;
use crate::store::projects::{Changes, ProjectKey, Published, Source, StateChange};
use crate::types::ProjectPath;

/// What is to be changed.
#[derive(Debug)]
pub struct Application {
    /// Where.
    pub key: ProjectKey,
    /// Files to create or replace.
    pub write: BTreeMap<ProjectPath, Vec<u8>>,
    /// Files to remove.
    pub remove: BTreeSet<ProjectPath>,
    /// What becomes of the relay's hidden state file.
    pub state: Option<StateChange>,
    /// What the version is called.
    pub message: String,
}

impl Runs {
    /// Saves files in the background, or reports why that cannot be. Saving is not broken off when
    /// the reader leaves. `finished` is called when the files are not needed any more.
    pub fn apply(
        self: &Arc<Self>,
        application: Result<Application, Failure>,
        sink: EventSink,
        finished: impl FnOnce() + Send + 'static,
    ) {
        let runs = Arc::clone(self);
        let span = tracing::Span::current();
        let work = async move {
            let began = Instant::now();
            let result = runs.apply_now(application, &sink).await;
            finished();
            for event in last_events(result, began) {
                // A reader that left does not need to be told.
                if sink.send(event).await.is_err() {
                    break;
                }
            }
        };
        self.tasks.spawn(tracing::Instrument::instrument(work, span));
    }

    async fn apply_now(
        &self,
        application: Result<Application, Failure>,
        sink: &EventSink,
    ) -> Result<Published, Failure> {
        let application = application?;
        if sink.status(SAVING).await.is_err() {
            tracing::debug!("nobody reads; it is saved all the same");
        }
        let projects = self.projects.clone();
        blocking::run(move || {
            let write = application.write.into_iter();
            let changes = Changes {
                write: write.map(|(path, bytes)| (path, Source::Bytes(bytes))).collect(),
                remove: application.remove,
                state: application.state,
                message: application.message,
                ..Changes::default()
            };
            projects.publish(application.key, &changes).map_err(Failure::from)
        })
        .await?
    }
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
