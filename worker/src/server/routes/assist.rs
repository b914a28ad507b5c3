//! Short questions to a model: `POST /detect_intent`, `/detect_skills`, `/chat_haiku`,
//! `/chat_sonnet`, `/generate_publish_info`; and two endpoints that the relay uses together with
//! them: `/get_skill_content`, `/prewarm_sandbox`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::api::ErrorCode;
use crate::api::answer::{Chosen, Introduction, Judged, Reply, SkillContents, Warmth};
use crate::api::request::{
    AskChat, DetectIntent, DetectSkills, GeneratePublishInfo, GetSkillContent, PrewarmSandbox,
};
use crate::app::App;
use crate::assist::chat::{Care, Chat};
use crate::assist::publish::Game;
use crate::assist::skills::OFFERED;
use crate::blocking;
use crate::json::{List, Object};
use crate::models::ApiFailure;
use crate::models::messages::NoAnswer;
use crate::server::error::ApiError;
use crate::server::extract::{Body, LargeBody};
use crate::store::skills;
use crate::types::SkillName;

/// The largest number of skills in a request for their content.
const MAX_SKILLS: usize = 20;

impl From<NoAnswer> for ApiError {
    fn from(error: NoAnswer) -> Self {
        tracing::warn!(%error, "a model gave no answer");
        let (code, message) = match error.failure {
            ApiFailure::Network => (ErrorCode::NetworkError, "the model API cannot be reached"),
            ApiFailure::Auth => (ErrorCode::AuthError, "the model API refused the key"),
            ApiFailure::RateLimit => (ErrorCode::RateLimit, "the model API is busy"),
            ApiFailure::Timeout => (ErrorCode::ApiTimeout, "the model API did not answer in time"),
            ApiFailure::Refused | ApiFailure::Budget => {
                (ErrorCode::ModelAnswer, "the model gave no answer that can be used")
            }
        };
        Self::new(code, message)
    }
}

pub(in crate::server) async fn detect_intent(
    State(app): State<Arc<App>>,
    Body { value: body, .. }: Body<DetectIntent>,
) -> Json<Judged> {
    Json(app.assist.detect_intent(&body.message).await)
}

pub(in crate::server) async fn detect_skills(
    State(app): State<Arc<App>>,
    LargeBody(Body { value: body, .. }): LargeBody<DetectSkills>,
) -> Result<Json<Chosen>, ApiError> {
    let global = app.settings.store.global_dir.clone();
    let offered: Vec<SkillName> = OFFERED.iter().filter_map(|name| name.parse().ok()).collect();
    let (exist, _) = blocking::run(move || skills::sort(&global, &offered)).await?;
    let dimension = body.dimension.unwrap_or_default();
    let code = body.existing_code.as_deref();
    let chosen = app.assist.detect_skills(&body.message, dimension, code, &exist).await;
    Ok(Json(chosen))
}

pub(in crate::server) async fn chat_haiku(
    State(app): State<Arc<App>>,
    body: LargeBody<AskChat>,
) -> Result<Json<Reply>, ApiError> {
    chat(&app, Care::Quick, body).await
}

pub(in crate::server) async fn chat_sonnet(
    State(app): State<Arc<App>>,
    body: LargeBody<AskChat>,
) -> Result<Json<Reply>, ApiError> {
    chat(&app, Care::Careful, body).await
}

async fn chat(
    app: &App,
    care: Care,
    LargeBody(Body { value: body, .. }): LargeBody<AskChat>,
) -> Result<Json<Reply>, ApiError> {
    if body.message.trim().is_empty() {
        return Err(ApiError::bad_request("message: must not be empty"));
    }
    let List(history) = body.conversation_history.unwrap_or_default();
    let chat = Chat {
        message: body.message,
        game_spec: body.game_spec,
        history: history.into_iter().map(|Object(entry)| entry).collect(),
        system_prompt: body.system_prompt,
        is_raw: body.raw_output.unwrap_or(false),
    };
    let reply = app.assist.chat(care, &chat).await?;
    Ok(Json(reply))
}

pub(in crate::server) async fn generate_publish_info(
    State(app): State<Arc<App>>,
    LargeBody(Body { value: body, .. }): LargeBody<GeneratePublishInfo>,
) -> Result<Json<Introduction>, ApiError> {
    let game = Game { name: body.project_name, code: body.game_code, spec: body.spec_content };
    let introduction = app.assist.introduce(&game).await?;
    Ok(Json(introduction))
}

pub(in crate::server) async fn get_skill_content(
    State(app): State<Arc<App>>,
    Body { value: body, .. }: Body<GetSkillContent>,
) -> Result<Json<SkillContents>, ApiError> {
    let List(names) = body.skill_names;
    if names.len() > MAX_SKILLS {
        return Err(ApiError::bad_request(format!("skill_names: at most {MAX_SKILLS}")));
    }
    let names: Vec<SkillName> = names.iter().filter_map(|n| n.parse().ok()).collect();
    let global = app.settings.store.global_dir.clone();
    let skills = blocking::run(move || skills::contents(&global, &names)).await?;
    Ok(Json(SkillContents { skills }))
}

/// Answers whether a run of this user would start at once. Nothing is prepared: a run needs only
/// that the self-test has passed and that a slot is free.
pub(in crate::server) async fn prewarm_sandbox(
    State(app): State<Arc<App>>,
    _: Body<PrewarmSandbox>,
) -> Json<Warmth> {
    let is_proven = matches!(app.proof.now(), Some(Ok(proof)) if proof.violations.is_empty());
    let is_warm = is_proven && app.runs.has_free_slot() && !app.runs.is_closing();
    Json(Warmth { status: if is_warm { "already_warm" } else { "warmed" } })
}
