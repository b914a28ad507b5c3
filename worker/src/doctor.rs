//! `dreamcore-worker doctor`: the self-test by itself, as a table for people or JSON for programs, and on
//! demand a question to each model provider.

mod live;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use dreamcore_worker::config::Config;
use dreamcore_worker::runs::proof::{self, Proof};
use dreamcore_worker::runs::workspace::Scratch;
use dreamcore_worker::sandbox::launch::Launcher;
use dreamcore_worker::sandbox::policy::sandbox_identity;
use serde_json::json;

/// Runs the self-test and prints its findings. The exit code is 0 if the policy is met and, where
/// they were asked, every model provider answers.
pub(crate) async fn run(
    config: Config,
    launcher: Launcher,
    as_json: bool,
    is_live: bool,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    // A folder beside the worker's scratch folder, because a running worker may be using that.
    let mut folder = config.app.runs.scratch_dir.clone().into_os_string();
    folder.push(".doctor");
    let owner = sandbox_identity();
    let folder = std::path::PathBuf::from(folder);
    let scratch = Scratch::prepare(&folder, owner, config.app.runs.disk_reserve_bytes)
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    let proven = proof::prove(&config.app.runs, &config.app.store, &launcher, &scratch).await;
    scratch.settle()?;
    drop(scratch);
    std::fs::remove_dir(&folder)?;
    let met = proven.as_ref().is_ok_and(|proof| proof.violations.is_empty());
    let findings = if is_live { Some(live::ask(&config).await?) } else { None };
    let mut out = std::io::stdout().lock();
    if as_json {
        let mut report = match &proven {
            Ok(proof) => to_json(proof),
            Err(reason) => json!({ "met": false, "error": reason.as_ref() }),
        };
        if let Some(findings) = &findings {
            report["live"] = findings.to_json();
        }
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        match &proven {
            Ok(proof) => table(&mut out, proof)?,
            Err(reason) => writeln!(out, "Nothing can be confined here: {reason}")?,
        }
        if let Some(findings) = &findings {
            findings.table(&mut out)?;
        }
    }
    let good = met && findings.is_none_or(|findings| findings.are_good());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn to_json(proof: &Proof) -> serde_json::Value {
    json!({
        "met": proof.violations.is_empty(),
        "violations": proof.violations,
        "mechanisms": proof.confinement.outcomes,
        "attacks": proof.selftest.findings,
    })
}

fn table(out: &mut impl std::io::Write, proof: &Proof) -> std::io::Result<()> {
    let colour = std::io::stdout().is_terminal();
    let paint = |code: u8, text: &str| {
        if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    };
    let verdict = |good: bool, yes: &str, no: &str| {
        if good { paint(32, yes) } else { paint(31, no) }
    };
    writeln!(out, "{}", paint(1, "Mechanisms"))?;
    for outcome in &proof.confinement.outcomes {
        let applied = verdict(outcome.applied, "applied", "missing");
        writeln!(out, "  {applied}  {:<18} {}", outcome.mechanism.name(), outcome.detail)?;
    }
    writeln!(out, "{}", paint(1, "Attacks from inside"))?;
    for finding in &proof.selftest.findings {
        let denied = verdict(finding.denied, "denied ", "ALLOWED");
        writeln!(out, "  {denied}  {:<38} {:<18} {}", finding.name, finding.layer, finding.detail)?;
    }
    if proof.violations.is_empty() {
        writeln!(out, "{}", paint(32, "The policy is met: games can be generated."))
    } else {
        let list = proof.violations.join(", ");
        writeln!(out, "{} {list}", paint(31, "The policy is not met. Not denied:"))?;
        writeln!(
            out,
            "Run the worker as root, or on a kernel with user namespaces and Landlock; or choose \
             a weaker DREAMCORE_CONFINEMENT and know what it gives up."
        )
    }
}
