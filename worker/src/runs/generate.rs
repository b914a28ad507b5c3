//! The steps of one generation, in order.
//!
//! `done` is earned: a result without error, exit code 0, files harvested, version written. Every
//! other end is one `error`, and leaves the project as it was.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dreamcore_wire::plan::Mechanism;
use tokio::net::TcpListener;

use super::Runs;
use super::claude::{self, Driver, Ended, Watch};
use super::events::{Debug, Event};
use super::failure::Failure;
use super::log::LogWriter;
use super::phase::Phase;
use super::proof::{NOT_PROVEN, Proof};
use super::run::{OnDisconnect, Run, RunStream};
use super::save::merge_warning;
use super::verdict::not_started;
use super::wait::wait;
use super::workspace::Workspace;
use crate::api::ErrorCode;
use crate::blocking;
use crate::models::broker::{Broker, Lease};
use crate::sandbox::explore::Confinement;
use crate::sandbox::launch::Confined;
use crate::sandbox::policy::INNER_API_PORT;
use crate::store::assets::AssetUrls;
use crate::store::projects::{ProjectKey, Published};
use crate::store::skills;
use crate::types::{Prompt, SkillName};

/// How this generator is called in `done`.
const GENERATOR: &str = "claude";
/// What the user sees while a version is made.
pub(super) const SAVING: &str = "変更を保存しています…";
/// How much longer than the broker the CLI itself waits, so that it is the broker who gives up.
const CLI_PATIENCE: Duration = Duration::from_mins(1);

/// What is to be generated.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where.
    pub key: ProjectKey,
    /// What.
    pub prompt: Prompt,
    /// Skills that the assistant shall load first.
    pub skills: Vec<SkillName>,
    /// URLs to put into the code that the run writes.
    pub asset_urls: Option<Arc<AssetUrls>>,
}

/// What a run leaves for its last events.
struct Success {
    published: Published,
    summary: Option<String>,
}

/// A CLI that has started, with what it needs to live.
struct Started {
    confined: Confined,
    lease: Lease,
}

impl Runs {
    /// Starts a generation in the background. It is cancelled when its client leaves.
    pub fn generate(self: &Arc<Self>, request: Request) -> RunStream {
        let runs = Arc::clone(self);
        self.start(request.key, OnDisconnect::Cancel, |run, log| async move {
            runs.run(request, &run, &log).await;
        })
    }

    async fn run(&self, request: Request, run: &Run, log: &LogWriter) {
        let began = run.began();
        let id = run.id();
        let mut debug = Debug::default();
        let result = self.run_in_place(&request, run, log, &mut debug).await;
        let elapsed_s = began.elapsed().as_secs_f64();
        debug.elapsed_seconds = elapsed_s;
        let last = match result {
            Ok(success) => {
                tracing::info!(run = %id, elapsed_s, "generated");
                run.enter(Phase::Done);
                debug.git_commit.clone_from(&success.published.version);
                let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let warning = success.published.merged.as_ref().map(merge_warning);
                let mut last: Vec<_> = warning.into_iter().collect();
                last.extend([
                    Event::Debug(Box::new(debug)),
                    Event::Result {
                        files: success.published.files,
                        summary: success.summary,
                        git_commit: success.published.version,
                    },
                    Event::Done { exit_code: 0, duration_ms, generator: Some(GENERATOR) },
                ]);
                last
            }
            Err(failure) => {
                let (code, phase) = (failure.code.as_str(), run.phase().name());
                tracing::warn!(run = %id, code, phase, elapsed_s, "not generated");
                run.fail(&failure);
                vec![Event::Debug(Box::new(debug)), Event::Error(failure)]
            }
        };
        for event in last {
            log.write(event).await;
        }
    }

    async fn run_in_place(
        &self,
        request: &Request,
        run: &Run,
        log: &LogWriter,
        debug: &mut Debug,
    ) -> Result<Success, Failure> {
        if self.config.anthropic.api_key.is_none() {
            // The CLI would try for minutes before it says so.
            return Err(Failure::new(ErrorCode::AuthError, "the worker has no ANTHROPIC_API_KEY"));
        }
        let proof = self.proven().await?;
        let patience = self.config.runs.queue_timeout;
        let permits =
            wait(request.key, &self.turns, &self.slots, patience, log, run.cancel()).await?;
        run.enter(Phase::Starting);
        say(log, "AIを準備しています…").await;
        let workspace = self.make_workspace(permits.slot.number()).await?;
        let result =
            self.run_in_workspace(request, &workspace, &proof.confinement, run, log, debug).await;
        // After the last process, whatever the result; before the last event, so that whoever
        // sees it finds nothing left.
        let removed = blocking::run(move || workspace.remove()).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "a private copy could not be removed");
        }
        drop(permits);
        result
    }

    /// The proof that the policy is met; without it nothing is run.
    async fn proven(&self) -> Result<Arc<Proof>, Failure> {
        let refuse = |reason: String| Failure::new(ErrorCode::SandboxError, reason);
        let proof = self.proof.wait().await.map_err(|_| refuse(NOT_PROVEN.to_owned()))?;
        if proof.violations.is_empty() {
            return Ok(proof);
        }
        let violations = proof.violations.join(", ");
        Err(refuse(format!("the confinement policy is not met; not denied: {violations}")))
    }

    async fn make_workspace(&self, slot: usize) -> Result<Arc<Workspace>, Failure> {
        let scratch = self.scratch.clone();
        let workspace = blocking::run(move || {
            let workspace = scratch.workspace(slot)?;
            claude::prepare_home(&workspace)?;
            std::io::Result::Ok(workspace)
        });
        Ok(Arc::new(workspace.await??))
    }

    #[allow(clippy::too_many_arguments, reason = "the state of one run, each part used once")]
    async fn run_in_workspace(
        &self,
        request: &Request,
        workspace: &Arc<Workspace>,
        confinement: &Confinement,
        run: &Run,
        log: &LogWriter,
        debug: &mut Debug,
    ) -> Result<Success, Failure> {
        let skills = self.known_skills(request, log).await?;
        // The CLI takes half a second to come up and needs no file until it has its prompt.
        let mut copying = std::pin::pin!(self.copy_in(request, workspace));
        let (started, copied) = tokio::join!(self.start_cli(workspace, confinement), async {
            tokio::select! {
                copied = &mut copying => Some(copied),
                () = run.cancel().cancelled() => None,
            }
        });
        let Started { confined, lease } = started?;
        let excess = self.guard.watch(confined.handle.members(), workspace.folder()?);
        let (driver, stdin) = Driver::new(confined, &workspace.game_path(), excess);
        let copied = match copied {
            Some(Ok(copied)) => copied,
            Some(Err(failure)) => {
                driver.abandon().await;
                return Err(failure);
            }
            None => {
                // A copy cannot be stopped in the middle, but no process has to wait for it.
                driver.abandon().await;
                drop(copying.await);
                return Err(Failure::stopped());
            }
        };
        run.enter(Phase::Running);
        debug.started_ms = u64::try_from(run.began().elapsed().as_millis()).ok();

        let watch = Watch {
            deadline: run.began() + self.config.runs.timeout,
            idle_timeout: self.config.runs.idle_timeout,
            give_up: self.config.anthropic.give_up,
        };
        let prompt = claude::prompt_line(&request.prompt, &skills);
        let outcome = driver.run(stdin, &prompt, log, lease.ledger(), watch, run.cancel()).await;
        run.enter(Phase::Judging);
        debug.api = lease.ledger().totals();
        debug.skipped_lines = outcome.skipped;
        debug.stderr.clone_from(&outcome.stderr);
        if let Ended::Exited(code) = &outcome.ended {
            debug.exit_code = Some(*code);
        }
        let copied = Arc::new(copied);
        let result = match self.judge(outcome, &lease) {
            Ok(_) if run.cancel().is_cancelled() => Err(Failure::stopped()),
            Ok(summary) => {
                drop(lease);
                run.enter(Phase::Saving);
                say(log, SAVING).await;
                let saved = self.save(request, workspace, &copied).await;
                saved.map(|published| Success { published, summary })
            }
            Err(failure) => Err(failure),
        };
        match result {
            Err(failure) => Err(self.keep_partial(request, workspace, &copied, failure).await),
            success => success,
        }
    }

    async fn known_skills(
        &self,
        request: &Request,
        log: &LogWriter,
    ) -> Result<Vec<SkillName>, Failure> {
        if request.skills.is_empty() {
            return Ok(Vec::new());
        }
        let (global, wanted) = (self.config.global_dir.clone(), request.skills.clone());
        let (known, unknown) = blocking::run(move || skills::sort(&global, &wanted)).await?;
        if !unknown.is_empty() {
            let names: Vec<_> = unknown.iter().map(SkillName::as_str).collect();
            let message = format!("unknown skills are left out: {}", names.join(", "));
            log.write(Event::Warning { message }).await;
        }
        Ok(known)
    }

    async fn start_cli(
        &self,
        workspace: &Workspace,
        confinement: &Confinement,
    ) -> Result<Started, Failure> {
        let (bin, global) = (self.config.claude_bin.clone(), self.config.global_dir.clone());
        let plugin =
            blocking::run(move || check_program(&bin).map(|()| skills::plugin_folder(&global)));
        let plugin =
            plugin.await?.map_err(|reason| Failure::new(ErrorCode::CliSpawnError, reason))?;

        // Where the sandbox shares the worker's network, the worker opens the listener.
        let own_network = confinement.holds(Mechanism::NetworkNamespace);
        let (outer, port) = if own_network {
            (None, INNER_API_PORT)
        } else {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let port = listener.local_addr()?.port();
            (Some(listener), port)
        };
        let token = Broker::new_token();
        let paths = claude::Paths { claude: self.config.claude_bin.clone(), plugin };
        let patience = self.config.anthropic.give_up + CLI_PATIENCE;
        let model = self.config.model.as_deref();
        let program = claude::program(&paths, workspace, port, &token, model, patience.as_millis());
        let plan = confinement.policy.plan(program);
        let mut confined = self.launcher.start(&plan).await.map_err(|error| not_started(&error))?;
        let Some(listener) = outer.or_else(|| confined.listener.take()) else {
            confined.handle.kill().await;
            return Err(Failure::new(
                ErrorCode::SandboxError,
                "no listener came out of the sandbox",
            ));
        };
        let lease = self.broker.lend(listener, token);
        Ok(Started { confined, lease })
    }
}

async fn say(log: &LogWriter, message: &str) {
    log.write(Event::Status { message: message.to_owned() }).await;
}

/// Says early and clearly what the launcher would say later and less so.
fn check_program(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => Err("the Claude CLI is not a file".to_owned()),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
            Err("the Claude CLI is not executable".to_owned())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the Claude CLI cannot be found: {}", error.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_unusable_cli_is_explained() {
        let temp = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(check_program(temp.path()), Err("the Claude CLI is not executable".into()));
        assert_eq!(check_program(Path::new("/")), Err("the Claude CLI is not a file".into()));
        assert!(check_program(Path::new("/nonexistent")).unwrap_err().contains("cannot be found"));
        assert_eq!(check_program(Path::new("/bin/sh")), Ok(()));
    }
}
