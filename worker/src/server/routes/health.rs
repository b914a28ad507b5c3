//! Health and version: the only endpoints without a secret, so they say nothing of users or keys.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::server::router::App;

pub(in crate::server) async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// 200 when generations can be taken, 503 with what is missing when not. Files are served in both
/// cases.
pub(in crate::server) async fn ready(State(app): State<App>) -> Response {
    let volume = app.volume().clone();
    let claude = app.config().claude_bin.clone();
    let checks = tokio::task::spawn_blocking(move || {
        let data = volume.check().err().map(|error| error.kind().to_string());
        let cli = std::fs::metadata(claude)
            .err()
            .map(|error| error.kind().to_string());
        (data, cli)
    });
    let (data, cli) = checks
        .await
        .unwrap_or_else(|_| (Some("not checked".into()), Some("not checked".into())));
    let mut problems = serde_json::Map::new();
    if let Some(problem) = data {
        problems.insert("data_dir".into(), problem.into());
    }
    if let Some(problem) = cli {
        problems.insert("claude_cli".into(), problem.into());
    }
    if app.config().anthropic.api_key.is_none() {
        problems.insert("anthropic_api_key".into(), "is not set".into());
    }
    if app.is_closing() {
        problems.insert("worker".into(), "is shutting down".into());
    }
    let confinement = match app.confinement() {
        Ok(confinement) => json!({
            "applied": confinement.outcomes.iter().filter(|o| o.applied)
                .map(|o| o.mechanism).collect::<Vec<_>>(),
            "missing": confinement.missing()
                .map(|o| json!({ "mechanism": o.mechanism, "reason": o.detail }))
                .collect::<Vec<_>>(),
        }),
        Err(reason) => {
            problems.insert("confinement".into(), reason.into());
            json!(null)
        }
    };
    let ready = problems.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({
        "status": if ready { "ready" } else { "not_ready" },
        "problems": problems,
        "confinement": confinement,
        "running": app.running(),
    });
    (status, Json(body)).into_response()
}

pub(in crate::server) async fn version() -> Json<Value> {
    Json(json!({ "name": "dreamcore-worker", "version": env!("CARGO_PKG_VERSION") }))
}
