//! One run: its project, its phase, and what happens to it when its client leaves.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
#[cfg(test)]
use super::log::LogWriter;
use super::log::{Log, LogReader, Numbered};
use super::phase::Phase;
use crate::api::ErrorCode;
use crate::store::projects::ProjectKey;
use crate::types::RunId;

/// What happens to a run whose client leaves before its end. The code that starts the run decides
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    /// The run is cancelled, because no client waits for its result.
    Cancel,
    /// The run goes on to its end.
    Continue,
}

/// A run that was started.
#[derive(Debug)]
pub struct Run {
    id: RunId,
    project: ProjectKey,
    began: Instant,
    on_disconnect: OnDisconnect,
    cancel: CancellationToken,
    phase: Mutex<Phase>,
    log: Arc<Log>,
}

/// A client's side of a run: it reads the run's events, and when it is dropped, the client has
/// left.
#[derive(Debug)]
pub struct RunStream {
    run: Arc<Run>,
    reader: LogReader,
}

impl Run {
    /// Makes a run in its first phase.
    pub(super) fn new(
        project: ProjectKey,
        on_disconnect: OnDisconnect,
        cancel: CancellationToken,
        log: Arc<Log>,
    ) -> Self {
        Self {
            id: RunId::fresh(),
            project,
            began: Instant::now(),
            on_disconnect,
            cancel,
            phase: Mutex::new(Phase::Waiting),
            log,
        }
    }

    /// The run's unique id.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// The project that it works on.
    pub fn project(&self) -> ProjectKey {
        self.project
    }

    /// The time of the request.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// The run's present phase.
    pub fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters the next phase.
    pub(super) fn enter(&self, next: Phase) {
        let last = {
            let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *phase, next)
        };
        let (run, last_name, phase) = (self.id, last.name(), next.name());
        tracing::debug!(%run, phase, "a run goes on");
        if !last.may_become(next) {
            tracing::error!(%run, last_name, phase, "a run took a wrong turn");
        }
        debug_assert!(last.may_become(next), "{last:?} to {next:?}");
    }

    /// Ends the run with a failure. The failure may be that the run was cancelled.
    pub(super) fn fail(&self, failure: &Failure) {
        let is_cancelled = failure.code == ErrorCode::CliTerminated && self.cancel.is_cancelled();
        self.enter(if is_cancelled { Phase::Cancelled } else { Phase::Failed });
    }

    /// The token that is cancelled when the run must stop.
    pub(super) fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// A stream of the run's events, from the first one on.
    pub(super) fn stream(self: &Arc<Self>) -> RunStream {
        RunStream { run: Arc::clone(self), reader: self.log.read_after(0) }
    }

    fn client_left(&self) {
        match self.on_disconnect {
            OnDisconnect::Cancel => self.cancel.cancel(),
            OnDisconnect::Continue => {}
        }
    }
}

impl RunStream {
    /// Waits for the next event with its number. `None` after the last one. If the future is
    /// dropped, no event is lost.
    pub async fn next(&mut self) -> Option<Numbered> {
        self.reader.next().await
    }
}

#[cfg(test)]
impl RunStream {
    /// A stream for tests, the writer of its log, and the token that is cancelled when the client
    /// leaves.
    pub(crate) fn for_test(on_disconnect: OnDisconnect) -> (LogWriter, Self, CancellationToken) {
        let id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        let project = ProjectKey { user: id.parse().unwrap(), project: id.parse().unwrap() };
        let (writer, log) = Log::create();
        let cancel = CancellationToken::new();
        let run = Arc::new(Run::new(project, on_disconnect, cancel.clone(), log));
        (writer, run.stream(), cancel)
    }
}

impl Drop for RunStream {
    fn drop(&mut self) {
        self.run.client_left();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::events::Event;

    #[test]
    fn a_client_that_leaves_cancels_a_run_only_if_its_owner_wants_that() {
        for (on_disconnect, cancelled) in
            [(OnDisconnect::Cancel, true), (OnDisconnect::Continue, false)]
        {
            let (_writer, stream, cancel) = RunStream::for_test(on_disconnect);
            assert!(!cancel.is_cancelled());
            drop(stream);
            assert_eq!(cancel.is_cancelled(), cancelled);
        }
    }

    #[tokio::test]
    async fn a_run_whose_client_has_left_writes_on_without_waiting() {
        let (writer, stream, _) = RunStream::for_test(OnDisconnect::Continue);
        drop(stream);
        for n in 0..10_000 {
            writer.try_write(Event::Stream { content: n.to_string() }).unwrap();
        }
    }

    #[test]
    fn a_failure_is_a_cancellation_only_if_the_run_was_cancelled() {
        for (code, is_cancelled, phase) in [
            (ErrorCode::CliTerminated, true, Phase::Cancelled),
            // The CLI was killed, but not because the run was cancelled.
            (ErrorCode::CliTerminated, false, Phase::Failed),
            // The run had failed before the client left.
            (ErrorCode::StorageFull, true, Phase::Failed),
        ] {
            let (_writer, stream, cancel) = RunStream::for_test(OnDisconnect::Cancel);
            if is_cancelled {
                cancel.cancel();
            }
            stream.run.fail(&Failure::new(code, "test"));
            assert_eq!(stream.run.phase(), phase);
        }
    }
}
