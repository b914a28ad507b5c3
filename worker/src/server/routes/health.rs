//! Health and version: the only endpoints without a secret, so they say nothing of users or keys.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use dreamcore_wire::control::Outcome;
use serde_json::{Value, json};

use crate::app::App;
use crate::blocking;
use crate::runs::proof::{NOT_PROVEN, Proof};

pub(in crate::server) async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// 200 when generations can be taken, 503 with what is missing when not. Files are served in both
/// cases.
pub(in crate::server) async fn ready(State(app): State<Arc<App>>) -> Response {
    let volume = app.store.volume.clone();
    let claude = app.config.claude_bin.clone();
    let checks = blocking::run(move || {
        let data = volume.check().err().map(|error| error.kind().to_string());
        let cli = match std::fs::metadata(claude) {
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => None,
            Ok(_) => Some("is not an executable file".to_owned()),
            Err(error) => Some(error.kind().to_string()),
        };
        (data, cli)
    });
    let (data, cli) =
        checks.await.unwrap_or_else(|_| (Some("not checked".into()), Some("not checked".into())));
    let mut problems = serde_json::Map::new();
    if let Some(problem) = data {
        problems.insert("data_dir".into(), problem.into());
    }
    if let Some(problem) = cli {
        problems.insert("claude_cli".into(), problem.into());
    }
    if app.config.anthropic.api_key.is_none() {
        problems.insert("anthropic_api_key".into(), "is not set".into());
    }
    if app.runs.is_closing() {
        problems.insert("worker".into(), "is shutting down".into());
    }
    let confinement = match app.proof.now() {
        Some(Ok(proof)) => {
            if !proof.violations.is_empty() {
                let reason = format!("not denied: {}", proof.violations.join(", "));
                problems.insert("confinement".into(), reason.into());
            }
            described(&proof)
        }
        Some(Err(_)) => {
            problems.insert("confinement".into(), NOT_PROVEN.into());
            json!(null)
        }
        None => {
            problems.insert("confinement".into(), "is being tested".into());
            json!(null)
        }
    };
    let ready = problems.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if ready { "ready" } else { "not_ready" },
        "problems": problems,
        "confinement": confinement,
        "running": app.runs.running(),
    });
    (status, Json(body)).into_response()
}

fn described(proof: &Proof) -> Value {
    let missing = proof
        .confinement
        .missing()
        .map(|outcome| json!({ "mechanism": outcome.mechanism, "reason": reason(outcome) }));
    let findings = &proof.selftest.findings;
    json!({
        "applied": proof.confinement.applied().map(|o| o.mechanism).collect::<Vec<_>>(),
        "missing": missing.collect::<Vec<_>>(),
        "attacks": findings.len(),
        "not_denied": proof.selftest.not_denied().map(|finding| finding.name).collect::<Vec<_>>(),
    })
}

/// Why a mechanism is missing, unless that names a path of the machine.
fn reason(outcome: &Outcome) -> &str {
    if outcome.detail.contains('/') { "see the worker's log" } else { &outcome.detail }
}

pub(in crate::server) async fn version() -> Json<Value> {
    Json(json!({ "name": "dreamcore-worker", "version": env!("CARGO_PKG_VERSION") }))
}
