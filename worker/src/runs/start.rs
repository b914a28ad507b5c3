//! The second phase: the project is copied, and at the same time the CLI starts, still without a
//! prompt.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dreamcore_wire::plan::Mechanism;
use tokio::net::TcpListener;
use tokio::process::ChildStdin;

use super::claude::{self, Driver, Inside};
use super::context::Context;
use super::failure::Failure;
use super::workspace::{Copied, Workspace};
use crate::api::ErrorCode;
use crate::blocking;
use crate::models::broker::{Broker, Lease};
use crate::sandbox::explore::Confinement;
use crate::sandbox::launch::Confined;
use crate::sandbox::policy::INNER_API_PORT;
use crate::store::projects::ProjectError;
use crate::store::skills;
use crate::store::volume::Place;
use crate::types::SkillName;

/// The status that the user sees while the CLI starts.
const STARTING: &str = "AIを準備しています…";
/// How much longer than the broker the CLI waits for an answer, so that the broker gives up first.
const CLI_MARGIN: Duration = Duration::from_mins(1);

/// A CLI that has started in a workspace with the project.
pub(super) struct Started {
    pub(super) driver: Driver,
    /// The CLI's standard input, through which it gets its prompt.
    pub(super) stdin: ChildStdin,
    /// The prompt, as the line that the CLI reads.
    pub(super) prompt: Vec<u8>,
    /// The run's access to the model API.
    pub(super) lease: Lease,
    /// The state of the project when it was copied.
    pub(super) copied: Copied,
}

/// A CLI that has started, with its lease.
struct Alive {
    confined: Confined,
    lease: Lease,
}

/// Makes the folders of the run's workspace.
pub(super) async fn workspace(
    context: &Context,
    slot: usize,
    confinement: &Confinement,
) -> Result<Arc<Workspace>, Failure> {
    context.say(STARTING).await;
    let scratch = context.resources.scratch.clone();
    let global = context.resources.store.global_dir.clone();
    let own_mounts =
        [Mechanism::MinimalRoot, Mechanism::MountNamespace].iter().all(|m| confinement.holds(*m));
    let workspace = blocking::run(move || {
        let mut workspace = scratch.workspace(slot)?;
        claude::prepare_home(&workspace)?;
        if let Some(skills) = skills::folder(&global) {
            workspace.offer_skills(skills, own_mounts)?;
        }
        std::io::Result::Ok(workspace)
    });
    Ok(Arc::new(workspace.await??))
}

/// Copies the project and starts the CLI. If this fails, no process is left.
pub(super) async fn start(
    context: &Context,
    workspace: &Arc<Workspace>,
    confinement: &Confinement,
) -> Result<Started, Failure> {
    let skills = known_skills(context).await?;
    let own_root = confinement.holds(Mechanism::MinimalRoot);
    let inside = Inside::new(workspace, context.request.key, own_root);
    // The CLI takes half a second to start and reads no file of the project until it has its
    // prompt.
    let mut copying = std::pin::pin!(copy_in(context, workspace));
    let (alive, copied) =
        tokio::join!(start_cli(context, workspace, &inside, confinement), async {
            tokio::select! {
                copied = &mut copying => Some(copied),
                () = context.run.cancel().cancelled() => None,
            }
        });
    let Alive { confined, lease } = alive?;
    let findings = context.resources.guard.watch(confined.handle.members(), workspace.folder()?);
    let (driver, stdin) = Driver::new(confined, &inside.project, findings);
    let copied = match copied {
        Some(Ok(copied)) => copied,
        Some(Err(failure)) => {
            driver.abandon().await;
            return Err(failure);
        }
        None => {
            // The copy goes on to its end, but the CLI is ended without waiting for it.
            driver.abandon().await;
            drop(copying.await);
            return Err(Failure::stopped());
        }
    };
    let request = &context.request;
    let prompt = claude::prompt_line(&request.prompt, request.key, &inside.project, &skills);
    Ok(Started { driver, stdin, prompt, lease, copied })
}

/// The skills of the request that exist. A warning names the others.
async fn known_skills(context: &Context) -> Result<Vec<SkillName>, Failure> {
    let wanted = context.request.skills.clone();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let global = context.resources.store.global_dir.clone();
    let (known, unknown) = blocking::run(move || skills::sort(&global, &wanted)).await?;
    if !unknown.is_empty() {
        let names: Vec<_> = unknown.iter().map(SkillName::as_str).collect();
        context.warn(format!("unknown skills are left out: {}", names.join(", "))).await;
    }
    Ok(known)
}

/// Copies the project into the workspace.
async fn copy_in(context: &Context, workspace: &Arc<Workspace>) -> Result<Copied, Failure> {
    let (projects, key) = (context.resources.projects.clone(), context.request.key);
    let workspace = Arc::clone(workspace);
    context.resources.volume.freshen(Place::Project(key)).await;
    let copied = blocking::run(move || match projects.open_to_copy(key) {
        Ok(project) => workspace.copy_in(&project),
        // A project that does not exist is made when the run is saved.
        Err(ProjectError::NotFound) => Ok(Copied::default()),
        Err(error) => Err(error),
    });
    Ok(copied.await??)
}

async fn start_cli(
    context: &Context,
    workspace: &Workspace,
    inside: &Inside,
    confinement: &Confinement,
) -> Result<Alive, Failure> {
    let resources = &context.resources;
    let settings = &resources.settings;
    let bin = settings.claude_bin.clone();
    let checked = blocking::run(move || check_program(&bin)).await?;
    checked.map_err(|reason| Failure::new(ErrorCode::CliSpawnError, reason))?;

    // If the sandbox shares the worker's network, the worker opens the listener itself.
    let own_network = confinement.holds(Mechanism::NetworkNamespace);
    let (outer, port) = if own_network {
        (None, INNER_API_PORT)
    } else {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        (Some(listener), port)
    };
    let token = Broker::new_token();
    let patience = resources.models.lending.give_up + CLI_MARGIN;
    let dialect = resources.broker.dialect();
    let api = claude::Api { port, token, dialect, timeout_ms: patience.as_millis() };
    let (claude, model) = (&settings.claude_bin, settings.model.as_deref());
    let plan = confinement.policy.plan(claude::program(claude, workspace, inside, &api, model));
    let mut confined = resources.launcher.start(&plan).await.map_err(Failure::from)?;
    let Some(listener) = outer.or_else(|| confined.listener.take()) else {
        confined.handle.kill().await;
        return Err(Failure::new(ErrorCode::SandboxError, "no listener came out of the sandbox"));
    };
    let lease = resources.broker.lend(listener, api.token, own_network);
    Ok(Alive { confined, lease })
}

/// Checks the CLI's file before the start, because the error of the launcher would be less clear.
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
