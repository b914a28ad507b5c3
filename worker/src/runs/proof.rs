//! The proof of the confinement at the worker's start: finds out which mechanisms this machine has,
//! attacks the sandbox, and judges the result by the operator's policy.

use std::path::PathBuf;
use std::sync::Arc;

use dreamcore_wire::plan::{Limits, Mechanism};
use tokio::sync::watch;

use super::settings::{ConfinementPolicy, Settings};
use super::workspace::Scratch;
use crate::blocking;
use crate::sandbox::explore::{Confinement, explore};
use crate::sandbox::launch::Launcher;
use crate::sandbox::policy::sandbox_identity;
use crate::sandbox::probe::{Group, Scene, SelfTest, selftest};
use crate::store;
use crate::store::projects::ProjectKey;
use crate::types::{ProjectId, UserId};

/// How many files a process of a sandbox may have open. The CLI has about 25, and 1024 has been the
/// usual limit for decades. A higher limit would let a process hold more socket buffers, whose
/// memory belongs to no process.
const MAX_OPEN_FILES: u64 = 1024;

/// The least file size limit, in bytes. The CLI needs this for its own files, whatever the limit of
/// a project is.
const MIN_FILE_BYTES: u64 = 64 << 20;

/// The result of the self-test on this machine.
#[derive(Debug)]
pub struct Proof {
    /// The mechanisms that are applied, and those that are missing.
    pub confinement: Confinement,
    /// The findings of the self-test.
    pub selftest: SelfTest,
    /// The attacks that the operator's policy requires to be denied and that were not. Empty if the
    /// policy is met.
    pub violations: Vec<String>,
}

/// The outcome: a proof, or the reason why there is none. The reason is for the operator only,
/// because it may contain paths of the machine.
pub type Proven = Result<Arc<Proof>, Arc<str>>;

/// The text that clients get instead of that reason.
pub const NOT_PROVEN: &str = "the confinement could not be tested: see the worker's log, or run \
                              dreamcore-worker doctor";

/// A handle to the outcome, which is there once the self-test has finished.
#[derive(Debug, Clone)]
pub struct ProofWatch(watch::Receiver<Option<Proven>>);

impl ProofWatch {
    /// The outcome. `None` while the self-test is going on.
    pub fn now(&self) -> Option<Proven> {
        self.0.borrow().clone()
    }

    /// Waits for the outcome.
    pub async fn wait(&self) -> Proven {
        let mut receiver = self.0.clone();
        match receiver.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err("not proven".into())),
            Err(_) => Err("the proof of the confinement broke off".into()),
        }
    }
}

/// Begins the proof in the background, so that files are served in the meantime.
pub fn begin(
    settings: &Settings,
    store: &store::Settings,
    launcher: &Launcher,
    scratch: &Scratch,
) -> ProofWatch {
    let (sender, receiver) = watch::channel(None);
    let (settings, store) = (settings.clone(), store.clone());
    let (launcher, scratch) = (launcher.clone(), scratch.clone());
    tokio::spawn(async move {
        let proven = prove(&settings, &store, &launcher, &scratch).await;
        log(&proven);
        // An error means that the worker is stopping and no receiver is left.
        sender.send(Some(proven)).unwrap_or_default();
    });
    ProofWatch(receiver)
}

/// Finds out the mechanisms, makes the attacks, and judges the findings.
pub async fn prove(
    settings: &Settings,
    store: &store::Settings,
    launcher: &Launcher,
    scratch: &Scratch,
) -> Proven {
    prove_by(settings, store, launcher, scratch).await.map(Arc::new).map_err(Arc::from)
}

async fn prove_by(
    settings: &Settings,
    store: &store::Settings,
    launcher: &Launcher,
    scratch: &Scratch,
) -> Result<Proof, String> {
    let trial = {
        let scratch = scratch.clone();
        prepare(move || scratch.make_trial_folder()).await?
    };
    let proof = prove_in(settings, store, launcher, trial).await;
    let scratch = scratch.clone();
    prepare(move || scratch.remove_trial_folder()).await?;
    proof
}

async fn prove_in(
    settings: &Settings,
    store: &store::Settings,
    launcher: &Launcher,
    trial: PathBuf,
) -> Result<Proof, String> {
    let confinement = explore(launcher, limits(settings, store), &trial)
        .await
        .map_err(|error| error.to_string())?;
    let owner = sandbox_identity();
    let (data, probe) = (store.data_dir.clone(), launcher.probe_path());
    if !probe.is_file() {
        return Err(format!("the probe is missing beside the launcher: {}", probe.display()));
    }
    // The probe stands where a project would be on the volume, as runs do.
    let key = ProjectKey { user: UserId::random(), project: ProjectId::random() };
    let place = confinement.holds(Mechanism::MinimalRoot).then(|| key.folder_below(&data));
    let scene = prepare(move || Scene::set(&trial, &data, &probe, owner, place)).await?;
    let neighbours = settings.max_runs > 1;
    let data = store.data_dir.clone();
    let tested = selftest(launcher, &confinement, &scene, data, neighbours).await;
    prepare(move || scene.remove()).await?;
    let selftest = tested.map_err(|error| error.to_string())?;
    let violations = selftest
        .not_denied()
        .filter(|finding| {
            // If several runs go on at the same time, they must be kept apart, whatever the policy
            // allows.
            let apart = matches!(finding.group, Group::Files | Group::Processes);
            demanded(settings.confinement, finding.group) || (neighbours && apart)
        })
        .map(|finding| finding.name.to_owned())
        .collect();
    Ok(Proof { confinement, selftest, violations })
}

fn demanded(policy: ConfinementPolicy, group: Group) -> bool {
    match policy {
        ConfinementPolicy::Strict => true,
        ConfinementPolicy::WithoutNetworkIsolation => group != Group::Network,
        ConfinementPolicy::WithoutGuarantees => false,
    }
}

/// The kernel's limits for every sandbox.
fn limits(settings: &Settings, store: &store::Settings) -> Limits {
    Limits {
        // More than a project's file may have, so that the worker refuses a large file with a
        // reason, before the kernel does without one.
        file_bytes: store.files.max_file_bytes.saturating_mul(2).max(MIN_FILE_BYTES),
        open_files: MAX_OPEN_FILES,
        processes: settings.max_processes,
        memory_bytes: settings.memory_bytes,
        cpu_s: settings.timeout.as_secs().saturating_mul(2).max(60),
    }
}

async fn prepare<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let done = blocking::run(work).await.map_err(std::io::Error::other).flatten();
    done.map_err(|error| format!("preparing the self-test: {error}"))
}

fn log(proven: &Proven) {
    let proof = match proven {
        Ok(proof) => proof,
        Err(reason) => {
            let reason = reason.as_ref();
            tracing::error!(reason, "nothing can be confined here; generations are refused");
            return;
        }
    };
    let applied: Vec<_> =
        proof.confinement.applied().map(|outcome| outcome.mechanism.name()).collect();
    tracing::info!(applied = applied.join(" "), "confinement");
    for outcome in proof.confinement.missing() {
        let mechanism = outcome.mechanism.name();
        tracing::warn!(mechanism, reason = outcome.detail, "protection missing");
    }
    for finding in proof.selftest.not_denied() {
        tracing::warn!(attack = finding.name, detail = finding.detail, "attack not denied");
    }
    if !proof.violations.is_empty() {
        let attacks = proof.violations.join(", ");
        tracing::error!(attacks, "the policy is not met; generations are refused");
    }
}
