//! One run: whose it is, how far it is, and what becomes of it when its client leaves.

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

/// What becomes of a run whose client leaves before its end. Whoever starts a run decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    /// It is cancelled: nobody waits for the result.
    Cancel,
    /// It goes on to its end.
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

/// A client's hold on a run: what the run says, and the sign that the client has left.
#[derive(Debug)]
pub struct RunStream {
    run: Arc<Run>,
    reader: LogReader,
}

impl Run {
    /// A run that is about to begin.
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

    /// Its id, which nothing else has.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// The project that it works on.
    pub fn project(&self) -> ProjectKey {
        self.project
    }

    /// When it was asked for.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on to the next phase.
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

    /// Ends with a failure, which may be that it was cancelled.
    pub(super) fn fail(&self, failure: &Failure) {
        let is_cancelled = failure.code == ErrorCode::CliTerminated && self.cancel.is_cancelled();
        self.enter(if is_cancelled { Phase::Cancelled } else { Phase::Failed });
    }

    /// Told when the run is to stop.
    pub(super) fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// A stream of what the run says, from its first event on.
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
    /// The next event with its number, or nothing when the run says no more. Nothing is lost when
    /// this future is dropped.
    pub async fn next(&mut self) -> Option<Numbered> {
        self.reader.next().await
    }
}

#[cfg(test)]
impl RunStream {
    /// The stream of a run that does nothing but what is written to its log, and what cancels it.
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
            // The CLI was killed by somebody else.
            (ErrorCode::CliTerminated, false, Phase::Failed),
            // It had failed before the client left.
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
