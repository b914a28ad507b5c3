//! A generation: its phases in order. Each gets what the phase before it returned.

use std::sync::Arc;

use super::claude::{CliReport, Ended, Watch};
use super::context::Context;
use super::events::{Debug, Event};
use super::failure::Failure;
use super::phase::Phase;
use super::proof::Proof;
use super::save::{self, merge_warning};
use super::start::{self, Started};
use super::verdict;
use super::wait;
use super::workspace::Workspace;
use crate::api::ErrorCode;
use crate::blocking;
use crate::models::broker::Ledger;
use crate::store::projects::Published;
use crate::store::volume::Place;

/// The name of this generator in the event `done`.
const GENERATOR: &str = "claude";

/// The parts of the last events of a generation that succeeded.
struct Success {
    published: Published,
    summary: Option<String>,
}

/// Carries out a generation, from waiting to its last event.
pub(super) async fn generate(context: Context) {
    let mut debug = Debug::default();
    let result = work(&context, &mut debug).await;
    for event in last_events(&context, result, debug) {
        context.log.write(event).await;
    }
}

async fn work(context: &Context, debug: &mut Debug) -> Result<Success, Failure> {
    if !context.resources.models.has_provider() {
        // The CLI would try for minutes before it says so.
        let message = "the worker has neither ANTHROPIC_API_KEY nor DREAMCORE_VERTEX_PROJECT";
        return Err(Failure::new(ErrorCode::AuthError, message));
    }
    let proof = wait::proof(context).await?;
    let permits = wait::permits(context).await?;
    context.run.enter(Phase::Starting);
    let workspace = start::workspace(context, permits.slot.number(), &proof.confinement).await?;
    let result = work_in(context, &workspace, &proof, debug).await;
    // The workspace is removed after the last process has ended, whatever the result is, and before
    // the last event, so that a client that sees that event finds nothing left.
    let removed = blocking::run(move || workspace.remove()).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(%error, "a private copy could not be removed");
    }
    drop(permits);
    result
}

async fn work_in(
    context: &Context,
    workspace: &Arc<Workspace>,
    proof: &Proof,
    debug: &mut Debug,
) -> Result<Success, Failure> {
    let Started { driver, stdin, prompt, lease, copied } =
        start::start(context, workspace, &proof.confinement).await?;

    let (run, resources) = (&context.run, &context.resources);
    run.enter(Phase::Running);
    debug.started_ms = u64::try_from(run.began().elapsed().as_millis()).ok();
    let watch = Watch {
        deadline: run.began() + resources.settings.timeout,
        idle_timeout: resources.settings.idle_timeout,
        give_up: resources.models.lending.give_up,
    };
    let ledger = lease.ledger();
    let report = driver.run(stdin, &prompt, &context.log, ledger, watch, run.cancel()).await;

    run.enter(Phase::Judging);
    note(debug, &report, ledger);
    let verdict = match verdict::judge(report, ledger, resources) {
        Ok(_) if run.cancel().is_cancelled() => Err(Failure::stopped()),
        verdict => verdict,
    };
    // No process is left that could use the model API.
    drop(lease);

    let copied = Arc::new(copied);
    let saved = match verdict {
        Ok(summary) => {
            run.enter(Phase::Saving);
            let place = Place::Project(context.request.key);
            resources.volume.freshen(place).await;
            let change = resources.volume.change(place);
            let saved = save::save(context, workspace, &copied).await;
            saved.map(|published| (change, Success { published, summary }))
        }
        Err(failure) => Err(failure),
    };
    match saved {
        Ok((change, success)) => {
            // Where this fails, the version exists, so the work is not kept a second time.
            change.commit().await?;
            Ok(success)
        }
        Err(failure) => Err(save::keep_partial(context, workspace, &copied, failure).await),
    }
}

/// Fills in the numbers about the CLI's work, whether it succeeded or not.
fn note(debug: &mut Debug, report: &CliReport, ledger: &Ledger) {
    debug.api = ledger.totals();
    debug.skipped_lines = report.skipped;
    debug.stderr.clone_from(&report.stderr);
    if let Ended::Exited(code) = &report.ended {
        debug.exit_code = Some(*code);
    }
}

/// Ends the run, and returns its last events.
fn last_events(
    context: &Context,
    result: Result<Success, Failure>,
    mut debug: Debug,
) -> Vec<Event> {
    let run = &context.run;
    let (id, elapsed) = (run.id(), run.began().elapsed());
    let elapsed_s = elapsed.as_secs_f64();
    debug.elapsed_seconds = elapsed_s;
    let Success { published, summary } = match result {
        Ok(success) => success,
        Err(failure) => {
            let (code, phase) = (failure.code.as_str(), run.phase().name());
            tracing::warn!(run = %id, code, phase, elapsed_s, "not generated");
            run.fail(&failure);
            return vec![Event::Debug(Box::new(debug)), Event::Error(failure)];
        }
    };
    tracing::info!(run = %id, elapsed_s, "generated");
    run.enter(Phase::Done);
    debug.git_commit.clone_from(&published.version);
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let mut events: Vec<_> = published.merged.as_ref().map(merge_warning).into_iter().collect();
    events.extend([
        Event::Debug(Box::new(debug)),
        Event::Result { files: published.files, summary, git_commit: published.version },
        Event::Done { exit_code: 0, duration_ms, generator: Some(GENERATOR) },
    ]);
    events
}
