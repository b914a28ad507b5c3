//! Finds out which mechanisms work on this machine by starting a harmless program with all of them.

use std::collections::BTreeMap;
use std::path::Path;

use dreamcore_wire::control::Outcome;
use dreamcore_wire::plan::{Limits, Mechanism};
use tokio::io::AsyncReadExt as _;

use super::launch::{LaunchError, Launcher};
use super::policy::{INNER_API_PORT, Policy, Program};

/// The mechanisms that work on this machine, and the policy that requires them.
#[derive(Debug, Clone)]
pub struct Confinement {
    /// Every mechanism that was tried, applied or missing.
    pub outcomes: Vec<Outcome>,
    /// A policy that requires exactly the mechanisms that were applied.
    pub policy: Policy,
}

impl Confinement {
    /// Whether `mechanism` was applied.
    pub fn holds(&self, mechanism: Mechanism) -> bool {
        self.policy.demands(mechanism)
    }

    /// The mechanisms that were applied, each with its form.
    pub fn applied(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.applied)
    }

    /// The mechanisms that are missing, each with the reason.
    pub fn missing(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| !outcome.applied)
    }
}

/// Starts `true` with every mechanism and reports which were applied. `root_dir` is an empty
/// folder.
pub async fn explore(
    launcher: &Launcher,
    limits: Limits,
    root_dir: &Path,
) -> Result<Confinement, LaunchError> {
    let exploring = Policy::exploring(limits);
    let plan = exploring.plan(Program {
        path: "/usr/bin/true".into(),
        args: Vec::new(),
        env: BTreeMap::new(),
        cwd: "/usr".into(),
        grants: Vec::new(),
        root_dir: root_dir.to_owned(),
        api_port: Some(INNER_API_PORT),
    });
    let mut started = launcher.start(&plan).await?;
    drop(started.stdin);
    let code = started.handle.wait().await?;
    if code != 0 {
        let mut text = String::new();
        // Only for the message of the error. If nothing can be read, the message is shorter.
        drop(started.stderr.read_to_string(&mut text).await);
        return Err(LaunchError::Protocol(format!("true ended with {code}: {}", text.trim())));
    }
    let mut outcomes = started.outcomes;
    // The launcher reports the mechanisms in the order in which it applies them; here they are
    // shown in the order of `Mechanism::ALL`.
    outcomes.sort_by_key(|outcome| outcome.mechanism);
    let applied: Vec<Mechanism> =
        outcomes.iter().filter(|o| o.applied).map(|o| o.mechanism).collect();
    let policy = exploring.demanding(|mechanism| applied.contains(&mechanism));
    Ok(Confinement { outcomes, policy })
}
