//! The first phase: a run waits for the proof of the confinement, the turn of its project, and a
//! slot.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::context::Context;
use super::failure::Failure;
use super::permits::{Line, Permit};
use super::proof::{NOT_PROVEN, Proof};
use crate::api::ErrorCode;

/// The status that the user sees while a run waits.
const WAITING: &str = "順番を待っています…";

/// The permits of a run while it works. When they are dropped, the slot is free first, then the
/// turn.
#[derive(Debug)]
pub(super) struct Permits {
    /// The slot, whose number names the run's scratch folder.
    pub(super) slot: Permit,
    _turn: Permit,
}

/// A run that is waiting.
struct Waiter<'a> {
    context: &'a Context,
    deadline: Instant,
    was_told: bool,
}

/// Waits for the proof that the policy is met. Without it nothing is run.
pub(super) async fn proof(context: &Context) -> Result<Arc<Proof>, Failure> {
    let refuse = |reason: String| Failure::new(ErrorCode::SandboxError, reason);
    let proof = context.resources.proof.wait().await;
    let proof = proof.map_err(|_| refuse(NOT_PROVEN.to_owned()))?;
    if proof.violations.is_empty() {
        return Ok(proof);
    }
    let violations = proof.violations.join(", ");
    Err(refuse(format!("the confinement policy is not met; not denied: {violations}")))
}

/// Takes the turn of the project and then a slot. One time limit applies to both waits together.
pub(super) async fn permits(context: &Context) -> Result<Permits, Failure> {
    let resources = &context.resources;
    let deadline = Instant::now() + resources.settings.queue_timeout;
    let mut waiter = Waiter { context, deadline, was_told: false };
    let busy = Failure::new(ErrorCode::ProjectBusy, "another run works on this project");
    let turns = resources.turns.of(context.request.key);
    let turn = waiter.permit(&turns, "project", busy).await?;
    let busy = Failure::new(ErrorCode::WorkerBusy, "all places are taken");
    let slot = waiter.permit(&resources.slots, "slot", busy).await?;
    Ok(Permits { slot, _turn: turn })
}

impl Waiter<'_> {
    /// Takes a permit, or waits for one in the line. `busy` is the failure if that takes too long.
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
            self.context.say(WAITING).await;
        }
        tokio::select! {
            permit = timeout_at(self.deadline, waiting.permit()) => permit.map_err(|_| busy),
            () = self.context.run.cancel().cancelled() => Err(Failure::stopped()),
        }
    }
}
