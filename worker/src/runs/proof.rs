//! Finding out at start how runs can be confined here, proving it, and judging the proof by the
//! operator's policy.

use std::path::PathBuf;
use std::sync::Arc;

use dreamcore_wire::plan::Limits;
use tokio::sync::watch;

use super::settings::{ConfinementPolicy, Settings};
use super::workspace::Scratch;
use crate::blocking;
use crate::sandbox::explore::{Confinement, explore};
use crate::sandbox::launch::Launcher;
use crate::sandbox::policy::sandbox_identity;
use crate::sandbox::probe::{Group, Scene, SelfTest, selftest};
use crate::store;

/// Open files of one process of a sandbox. The CLI has about 25, and other programs have had to
/// live with this number for decades. Each may be a socket whose buffer belongs to no process.
const MAX_OPEN_FILES: u64 = 1024;

/// What the CLI needs for its own files, whatever a project may have.
const MIN_FILE_BYTES: u64 = 64 << 20;

/// What holds on this machine, proven by attack.
#[derive(Debug)]
pub struct Proof {
    /// Which mechanisms are applied.
    pub confinement: Confinement,
    /// What a hostile program was denied.
    pub selftest: SelfTest,
    /// What the policy demands and is not denied; empty if all is well.
    pub violations: Vec<String>,
}

/// The outcome of the proof: there is one, or it could not be had, for a reason that is for the
/// operator only, because it may name paths of the machine.
pub type Proven = Result<Arc<Proof>, Arc<str>>;

/// What clients are told instead of that reason.
pub const NOT_PROVEN: &str = "the confinement could not be tested: see the worker's log, or run \
                              dreamcore-worker doctor";

/// Where the proof appears when it is done.
#[derive(Debug, Clone)]
pub struct ProofWatch(watch::Receiver<Option<Proven>>);

impl ProofWatch {
    /// The outcome, if it is known already.
    pub fn now(&self) -> Option<Proven> {
        self.0.borrow().clone()
    }

    /// The outcome, as soon as it is known.
    pub async fn wait(&self) -> Proven {
        let mut receiver = self.0.clone();
        match receiver.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err("not proven".into())),
            Err(_) => Err("the proof of the confinement broke off".into()),
        }
    }
}

/// Begins the proof in the background, so that files are served meanwhile.
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
        // Nobody listens any more if the worker is stopping.
        sender.send(Some(proven)).unwrap_or_default();
    });
    ProofWatch(receiver)
}

/// Explores, attacks and judges.
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
    let scene = prepare(move || Scene::set(&trial, &data, &probe, owner)).await?;
    let neighbours = settings.max_runs > 1;
    let data = store.data_dir.clone();
    let tested = selftest(launcher, &confinement, &scene, data, neighbours).await;
    prepare(move || scene.remove()).await?;
    let selftest = tested.map_err(|error| error.to_string())?;
    let violations = selftest
        .not_denied()
        .filter(|finding| {
            // Runs beside one another must be apart, whatever the policy gives up.
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
        // Room for more than a project takes, so that the limit is ours to explain.
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
