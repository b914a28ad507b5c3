//! The first phase: a run waits for the proof of the confinement, the turn of its project, and a
//! slot.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::context::Context;
use super::failure::Failure;
use super::permits::{Permit, Step, Waiting};
use super::proof::{NOT_PROVEN, Proof};
use crate::api::ErrorCode;
use crate::types::UserId;

/// The permits of a run while it works. When they are dropped, the slot is free first, then the
/// turn.
#[derive(Debug)]
pub(super) struct Permits {
    /// The slot, whose number names the run's scratch folder.
    pub(super) slot: Permit<UserId>,
    _turn: Permit<()>,
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

/// Takes the turn of the project and then a slot. Each is waited for as long as its queue moves.
pub(super) async fn permits(context: &Context) -> Result<Permits, Failure> {
    let resources = &context.resources;
    let key = context.request.key;
    let busy = || Failure::new(ErrorCode::ProjectBusy, "another run works on this project");
    let line = resources.turns.of(key);
    let turn = permit(context, line.enter(()), "project", turn_status, busy).await?;
    let busy = || Failure::new(ErrorCode::WorkerBusy, "all places are taken");
    let entered = resources.slots.enter(key.user);
    let slot = permit(context, entered, "slot", slot_status, busy).await?;
    Ok(Permits { slot, _turn: turn })
}

/// Waits for a permit if there was none, and tells the user the place in the queue: at first, and
/// whenever it has come down to half. The page keeps each status as a line of the chat, so there
/// are few of them however long the queue is.
///
/// A queue in which nobody was served for the queue's time limit is given up: then `busy` says why
/// the run fails. So does the time limit of the run, which includes its waiting.
async fn permit<P: Eq + Copy>(
    context: &Context,
    entered: Result<Permit<P>, Waiting<P>>,
    name: &'static str,
    status: impl Fn(usize) -> String,
    busy: impl Fn() -> Failure,
) -> Result<Permit<P>, Failure> {
    let mut waiting = match entered {
        Ok(permit) => return Ok(permit),
        Err(waiting) => waiting,
    };
    let settings = &context.resources.settings;
    let end = context.run.began() + settings.timeout;
    let mut place = waiting.place();
    let mut moved = Instant::now();
    let mut told = None;
    loop {
        if told.is_none_or(|told| place.ahead <= told / 2 && place.ahead < told) {
            tracing::debug!(permit = name, ahead = place.ahead, "waiting");
            told = Some(place.ahead);
            context.say(&status(place.ahead)).await;
        }
        let deadline = end.min(moved + settings.queue_timeout);
        let step = tokio::select! {
            step = timeout_at(deadline, waiting.next()) => step.map_err(|_| busy())?,
            () = context.run.cancel().cancelled() => return Err(Failure::stopped()),
        };
        match step {
            Step::Permit(permit) => return Ok(permit),
            Step::Moved(now) => {
                if now.served > place.served {
                    moved = Instant::now();
                }
                place = now;
            }
        }
    }
}

/// What the user reads while another run works on the same project.
fn turn_status(ahead: usize) -> String {
    match ahead {
        0 => "このプロジェクトの前の処理が終わるのを待っています…".to_owned(),
        n => format!("このプロジェクトの前の処理が終わるのを待っています（あと{}件）…", n + 1),
    }
}

/// What the user reads while all slots are taken.
fn slot_status(ahead: usize) -> String {
    match ahead {
        0 => "順番を待っています（次の番です）…".to_owned(),
        n => format!("順番を待っています（前に{n}件）…"),
    }
}
