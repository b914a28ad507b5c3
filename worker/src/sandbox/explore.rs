//! Finds out which mechanisms work on this machine by starting a harmless program with all of them.

use std::collections::BTreeMap;
use std::path::Path;

use dreamcore_wire::control::Outcome;
use dreamcore_wire::plan::{Limits, Mechanism};
use tokio::io::AsyncReadExt as _;

use super::launch::{LaunchError, Launcher};
use super::policy::{INNER_API_PORT, Policy, Program};

/// What holds on this machine.
#[derive(Debug, Clone)]
pub struct Confinement {
    /// Every mechanism that was tried, applied or missing.
    pub outcomes: Vec<Outcome>,
    /// A policy that demands exactly the mechanisms that were applied.
    pub policy: Policy,
}

impl Confinement {
    /// Whether `mechanism` holds.
    pub fn holds(&self, mechanism: Mechanism) -> bool {
        self.policy.demands(mechanism)
    }

    /// What is applied, and how.
    pub fn applied(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.applied)
    }

    /// What is missing, with the reason.
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
        // Only for the message; a program that fails here rarely says anything.
        drop(started.stderr.read_to_string(&mut text).await);
        return Err(LaunchError::Protocol(format!("true ended with {code}: {}", text.trim())));
    }
    let mut outcomes = started.outcomes;
    // Root needs no user namespace, and the launcher then does not try one.
    outcomes.sort_by_key(|outcome| outcome.mechanism);
    let applied: Vec<Mechanism> =
        outcomes.iter().filter(|o| o.applied).map(|o| o.mechanism).collect();
    let policy = exploring.demanding(|mechanism| applied.contains(&mechanism));
    Ok(Confinement { outcomes, policy })
}
