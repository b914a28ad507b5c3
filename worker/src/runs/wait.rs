//! The first phase of a run: waiting until its project is free and there is a slot for it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::events::Event;
use super::failure::Failure;
use super::log::LogWriter;
use super::permits::{Line, Permit, Turns};
use crate::api::ErrorCode;
use crate::store::projects::ProjectKey;

/// What the user sees while a run waits.
const WAITING: &str = "順番を待っています…";

/// What a run holds for as long as it works. The slot comes back first, then the turn.
#[derive(Debug)]
pub(super) struct Permits {
    /// Names the run's scratch folder.
    pub(super) slot: Permit,
    _turn: Permit,
}

/// One run that is waiting.
struct Waiter<'a> {
    log: &'a LogWriter,
    cancel: &'a CancellationToken,
    deadline: Instant,
    was_told: bool,
}

/// Takes the turn of the project and then a slot. Both together take at most `patience`.
pub(super) async fn wait(
    key: ProjectKey,
    turns: &Turns,
    slots: &Line,
    patience: Duration,
    log: &LogWriter,
    cancel: &CancellationToken,
) -> Result<Permits, Failure> {
    let deadline = Instant::now() + patience;
    let mut waiter = Waiter { log, cancel, deadline, was_told: false };
    let busy = Failure::new(ErrorCode::ProjectBusy, "another run works on this project");
    let turn = waiter.permit(&turns.of(key), "project", busy).await?;
    let busy = Failure::new(ErrorCode::WorkerBusy, "all places are taken");
    let slot = waiter.permit(slots, "slot", busy).await?;
    Ok(Permits { slot, _turn: turn })
}

impl Waiter<'_> {
    /// Takes a permit, or waits for it in its line. `busy` is the failure of a wait that is too
    /// long.
    async fn permit(
        &mut self,
        line: &Line,
        name: &'static str,
        busy: Failure,
    ) -> Result<Permit, Failure> {
        let waiting = match line.enter() {
            Ok(permit) => return Ok(permit),
            Err(waiting) => waiting,
        };
        tracing::debug!(permit = name, ahead = waiting.ahead(), "waiting");
        if !self.was_told {
            self.was_told = true;
            self.log.write(Event::Status { message: WAITING.to_owned() }).await;
        }
        tokio::select! {
            permit = timeout_at(self.deadline, waiting.permit()) => permit.map_err(|_| busy),
            () = self.cancel.cancelled() => Err(Failure::stopped()),
        }
    }
}
