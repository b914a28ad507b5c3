//! `POST /generate_game`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use crate::project::ProjectKey;
use crate::run::Request;
use crate::run::events::EventSink;
use crate::server::error::ApiError;
use crate::server::extract::Body;
use crate::server::router::App;
use crate::server::sse;
use crate::types::{ProjectId, Prompt, SkillName, UserId};

/// Most skills in one request.
const MAX_SKILLS: usize = 20;

#[derive(Debug, Deserialize)]
pub(in crate::server) struct GenerateGame {
    user_id: UserId,
    project_id: ProjectId,
    prompt: Option<Prompt>,
    /// Another name for the prompt.
    message: Option<Prompt>,
    #[serde(default)]
    skills: Option<Vec<SkillName>>,
}

impl GenerateGame {
    fn into_request(self) -> Result<Request, ApiError> {
        let prompt = self
            .prompt
            .or(self.message)
            .ok_or_else(|| ApiError::bad_request("prompt: is required"))?;
        let skills = self.skills.unwrap_or_default();
        if skills.len() > MAX_SKILLS {
            return Err(ApiError::bad_request(format!("skills: at most {MAX_SKILLS}")));
        }
        let key = ProjectKey { user: self.user_id, project: self.project_id };
        Ok(Request { key, prompt, skills })
    }
}

pub(in crate::server) async fn generate_game(
    State(app): State<App>,
    Body(body): Body<GenerateGame>,
) -> Result<Response, ApiError> {
    let request = body.into_request()?;
    if app.is_closing() {
        let message = "the worker is shutting down";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Err(ApiError::new(status, "SHUTTING_DOWN", message));
    }
    let (sink, events) = EventSink::new();
    let guard = app.generate(request, sink);
    Ok(sse::respond(events, guard))
}
