//! Generation: `POST /generate_game`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::api::ErrorCode;
use crate::api::request::{GenerateGame, UrlsByName};
use crate::app::App;
use crate::json::{List, Map};
use crate::runs::GenerateRequest;
use crate::runs::failure::Failure;
use crate::server::error::ApiError;
use crate::server::extract::Body;
use crate::server::sse;
use crate::store::assets::AssetUrls;
use crate::store::projects::ProjectKey;
use crate::types::Prompt;

/// The largest number of skills in a request.
const MAX_SKILLS: usize = 20;

/// The end of a stream that a caller asks for with `_test_error`. An unknown name asks for a
/// success.
fn simulated(name: &str) -> Result<(), Failure> {
    let (code, exit_code) = match name {
        "timeout" => (ErrorCode::CliTimeout, Some(124)),
        "general" => (ErrorCode::CliGeneralError, Some(1)),
        "sandbox" => (ErrorCode::SandboxError, None),
        "network" => (ErrorCode::NetworkError, None),
        "rate_limit" => (ErrorCode::RateLimit, None),
        _ => return Ok(()),
    };
    let failure = Failure::new(code, "a failure that the request asked for; nothing was run");
    Err(match exit_code {
        Some(exit_code) => failure.with_exit_code(exit_code),
        None => failure,
    })
}

fn request(body: GenerateGame) -> Result<GenerateRequest, ApiError> {
    let (prompt, message) = (body.prompt, body.message);
    let is_blank = prompt.as_ref().is_none_or(|text| text.trim().is_empty());
    let text = if is_blank { message.or(prompt) } else { prompt };
    let text = text.ok_or_else(|| ApiError::bad_request("prompt: is required"))?;
    let prompt: Prompt =
        text.parse().map_err(|error| ApiError::bad_request(format!("prompt: {error}")))?;
    let List(skills) = body.skills.unwrap_or_default();
    if skills.len() > MAX_SKILLS {
        return Err(ApiError::bad_request(format!("skills: at most {MAX_SKILLS}")));
    }
    let key = ProjectKey { user: body.user_id, project: body.project_id };
    let asset_urls = asset_urls(body.asset_urls)?.map(Arc::new);
    Ok(GenerateRequest { key, prompt, skills, asset_urls })
}

/// Checks the URLs that are to be put into code.
pub(super) fn asset_urls(map: Option<UrlsByName>) -> Result<Option<AssetUrls>, ApiError> {
    let checked = map.map(|Map(map)| AssetUrls::new(map)).transpose();
    checked.map_err(|error| ApiError::bad_request(format!("asset_urls: {error}")))
}

pub(in crate::server) async fn generate_game(
    State(app): State<Arc<App>>,
    Body { value: body, share }: Body<GenerateGame>,
) -> Result<Response, ApiError> {
    let test_error = body.test_error.clone();
    let request = request(body)?;
    // The relay shows every status but 200 as a fault of the sandbox, so the refusal is a stream
    // too.
    if app.runs.is_closing() {
        let failure = Failure::new(ErrorCode::ShuttingDown, "the worker is shutting down");
        return Ok(sse::respond(app.runs.end_at_once(request.key, Err(failure)), share));
    }
    if let Some(name) = test_error {
        return Ok(sse::respond(app.runs.end_at_once(request.key, simulated(&name)), share));
    }
    // A prompt is in memory for as long as its run waits or works.
    Ok(sse::respond(app.runs.generate(request), share))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn prompt(body: Value) -> Result<String, ApiError> {
        const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        let mut body = body;
        body["user_id"] = ID.into();
        body["project_id"] = ID.into();
        let body: GenerateGame = serde_json::from_value(body).unwrap();
        request(body).map(|request| request.prompt.as_str().to_owned())
    }

    #[test]
    fn either_name_of_the_prompt_will_do() {
        assert_eq!(prompt(json!({ "prompt": "a" })).unwrap(), "a");
        assert_eq!(prompt(json!({ "message": "b" })).unwrap(), "b");
        assert_eq!(prompt(json!({ "prompt": "a", "message": "b" })).unwrap(), "a");
        assert_eq!(prompt(json!({ "prompt": "a", "message": "" })).unwrap(), "a");
        assert_eq!(prompt(json!({ "prompt": " ", "message": "b" })).unwrap(), "b");
        for nothing in [json!({}), json!({ "prompt": "" }), json!({ "prompt": "", "message": "" })]
        {
            assert!(prompt(nothing).is_err());
        }
    }
}
