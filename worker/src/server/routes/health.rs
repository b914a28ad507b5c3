//! Health, version and the `OpenAPI` document. Health and version need no secret, so they say
//! nothing about users or keys.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use dreamcore_wire::control::Outcome;

use crate::api::answer::{Confinement, InFlight, Live, Missing, Program, Ready};
use crate::api::openapi;
use crate::app::App;
use crate::blocking;
use crate::runs::proof::{NOT_PROVEN, Proof};
use crate::store::volume::{self, Gate};

pub(in crate::server) async fn live() -> Json<Live> {
    Json(Live { status: "live" })
}

/// Answers 200 if games can be generated, else 503 with the problems. Files are served in both
/// cases.
pub(in crate::server) async fn ready(State(app): State<Arc<App>>) -> Response {
    let volume = app.store.volume.clone();
    let claude = app.settings.runs.claude_bin.clone();
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
    let mut problems = BTreeMap::new();
    if let Some(problem) = data {
        problems.insert("data_dir", problem);
    }
    if let Some(problem) = cli {
        problems.insert("claude_cli", problem);
    }
    if !app.settings.models.has_provider() {
        problems.insert("anthropic_api_key", "is not set".to_owned());
    }
    if app.runs.is_closing() {
        problems.insert("worker", "is shutting down".to_owned());
    }
    let confinement = match app.proof.now() {
        Some(Ok(proof)) => {
            if !proof.violations.is_empty() {
                let reason = format!("not denied: {}", proof.violations.join(", "));
                problems.insert("confinement", reason);
            }
            Some(described(&proof))
        }
        Some(Err(_)) => {
            problems.insert("confinement", NOT_PROVEN.to_owned());
            None
        }
        None => {
            problems.insert("confinement", "is being tested".to_owned());
            None
        }
    };
    let ready = problems.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Ready {
        confinement,
        problems,
        running: app.runs.running(),
        status: if ready { "ready" } else { "not_ready" },
        volume: in_flight(app.store.volume.gate()),
    };
    (status, Json(body)).into_response()
}

fn in_flight(gate: &Gate) -> InFlight {
    let volume::InFlight { reads, copies, uploads, saves, commits } = gate.in_flight();
    InFlight { commits, copies, reads, saves, uploads }
}

fn described(proof: &Proof) -> Confinement {
    let missing = proof.confinement.missing().map(|outcome| Missing {
        mechanism: outcome.mechanism.to_string(),
        reason: reason(outcome).to_owned(),
    });
    let findings = &proof.selftest.findings;
    Confinement {
        applied: proof.confinement.applied().map(|o| o.mechanism.to_string()).collect(),
        attacks: findings.len(),
        missing: missing.collect(),
        not_denied: proof.selftest.not_denied().map(|f| f.name.to_string()).collect(),
    }
}

/// Why a mechanism is missing. A reason that contains a path of the machine is replaced.
fn reason(outcome: &Outcome) -> &str {
    if outcome.detail.contains('/') { "see the worker's log" } else { &outcome.detail }
}

pub(in crate::server) async fn version() -> Json<Program> {
    Json(Program { name: "dreamcore-worker", version: env!("CARGO_PKG_VERSION") })
}

/// Answers with the `OpenAPI` document.
pub(in crate::server) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], openapi::CHECKED_IN).into_response()
}
