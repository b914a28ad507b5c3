//! Versions: `GET /get_versions`, `GET /get_version_diff`, `POST /restore_version`,
//! `POST /create_version_snapshot`, and `POST /copy_project`. The actions of `/apply_files` are the
//! first three under other names.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::blocking;
use crate::server::error::ApiError;
use crate::server::extract::Body;
use crate::server::query::{Query, parse_value};
use crate::store::projects::{
    Action, Changes, CopyRequest, MAX_LOG_LENGTH, Part, ProjectError, ProjectKey, Version,
};
use crate::types::{ProjectId, UserId, VersionId, VersionMessage};

/// Versions in an answer to a request that does not say how many.
const DEFAULT_LOG_LENGTH: usize = 50;
/// The version of a snapshot without a name.
const SNAPSHOT_MESSAGE: &str = "スナップショット";
/// The version of a copy without a name.
const COPY_MESSAGE: &str = "プロジェクトをコピー";

#[derive(Debug, Deserialize)]
pub(in crate::server) struct RestoreVersion {
    user_id: UserId,
    project_id: ProjectId,
    commit: VersionId,
}

#[derive(Debug, Deserialize)]
pub(in crate::server) struct CreateSnapshot {
    user_id: UserId,
    project_id: ProjectId,
    message: Option<VersionMessage>,
}

#[derive(Debug, Deserialize)]
pub(in crate::server) struct CopyProject {
    user_id: UserId,
    project_id: ProjectId,
    /// The same user if not given.
    target_user_id: Option<UserId>,
    target_project_id: ProjectId,
    #[serde(default)]
    history: bool,
    message: Option<VersionMessage>,
}

pub(in crate::server) async fn get_versions(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = Query::parse(query.as_deref().unwrap_or_default())?;
    let key = query.project()?;
    let number = |name: &str| query.get(name).map(|text| parse_value(name, text)).transpose();
    let (skip, limit): (Option<u32>, Option<u32>) = (number("skip")?, number("limit")?);
    let with_undone = number("all")?.is_some_and(|all: u32| all != 0);
    let part = Part { skip: to_usize(skip.unwrap_or(0)), limit: length(limit), with_undone };
    log(app, key, part).await
}

pub(in crate::server) async fn get_version_diff(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = Query::parse(query.as_deref().unwrap_or_default())?;
    diff(app, query.project()?, query.required("commit")?).await
}

pub(in crate::server) async fn restore_version(
    State(app): State<Arc<App>>,
    Body(body): Body<RestoreVersion>,
) -> Result<Response, ApiError> {
    let key = ProjectKey { user: body.user_id, project: body.project_id };
    restore(app, key, body.commit).await
}

pub(in crate::server) async fn create_version_snapshot(
    State(app): State<Arc<App>>,
    Body(body): Body<CreateSnapshot>,
) -> Result<Response, ApiError> {
    let key = ProjectKey { user: body.user_id, project: body.project_id };
    let message = body.message.unwrap_or_default().or(SNAPSHOT_MESSAGE);
    let saved = blocking::run(move || {
        app.store.projects.open(key)?;
        let changes = Changes { message, keep_unsaved: true, ..Changes::default() };
        app.store.projects.publish(key, &changes)
    });
    let saved = saved.await??;
    let answer = json!({ "success": true, "created": saved.is_new, "git_commit": saved.version });
    Ok(Json(answer).into_response())
}

pub(in crate::server) async fn copy_project(
    State(app): State<Arc<App>>,
    Body(body): Body<CopyProject>,
) -> Result<Response, ApiError> {
    let request = CopyRequest {
        from: ProjectKey { user: body.user_id, project: body.project_id },
        to: ProjectKey {
            user: body.target_user_id.unwrap_or(body.user_id),
            project: body.target_project_id,
        },
        with_history: body.history,
        message: body.message.unwrap_or_default().or(COPY_MESSAGE),
    };
    let copied = blocking::run(move || app.store.projects.copy(&request)).await??;
    Ok(Json(json!({ "success": true, "git_commit": copied.version })).into_response())
}

/// How many versions an answer has.
pub(super) fn length(limit: Option<u32>) -> usize {
    limit.map_or(DEFAULT_LOG_LENGTH, to_usize).clamp(1, MAX_LOG_LENGTH)
}

/// The list of versions.
pub(super) async fn log(app: Arc<App>, key: ProjectKey, part: Part) -> Result<Response, ApiError> {
    let read = blocking::run(move || {
        let log = app.store.projects.log(key, part)?;
        let unfinished = match app.store.projects.open(key) {
            Ok(project) => project.unfinished()?,
            Err(ProjectError::NotFound) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok((log, unfinished))
    });
    let (log, unfinished) = read.await??;
    let versions = |list: Vec<Version>| list.iter().map(described).collect::<Vec<_>>();
    let mut answer = json!({ "commits": versions(log.versions), "has_more": log.has_more });
    if let Some(answer) = answer.as_object_mut() {
        if log.is_new {
            answer.insert("autoInitialized".to_owned(), true.into());
        }
        if !unfinished.is_empty() {
            answer.insert("partial".to_owned(), versions(unfinished).into());
        }
    }
    Ok(Json(answer).into_response())
}

/// What a version changed.
pub(super) async fn diff(
    app: Arc<App>,
    key: ProjectKey,
    version: VersionId,
) -> Result<Response, ApiError> {
    let diff = blocking::run(move || app.store.projects.open(key)?.diff(&version)).await??;
    let mut answer = json!({ "diff": diff.text });
    if let Some(answer) = answer.as_object_mut()
        && diff.is_cut
    {
        answer.insert("truncated".to_owned(), true.into());
    }
    Ok(Json(answer).into_response())
}

/// Brings a version back.
pub(super) async fn restore(
    app: Arc<App>,
    key: ProjectKey,
    version: VersionId,
) -> Result<Response, ApiError> {
    let saved = blocking::run(move || app.store.projects.restore(key, &version)).await??;
    let (removed, restored): (Vec<_>, Vec<_>) =
        saved.files.into_iter().partition(|file| file.action == Action::Delete);
    let paths = |files: Vec<crate::store::projects::SavedFile>| {
        files.into_iter().map(|file| file.path).collect::<Vec<_>>()
    };
    Ok(Json(json!({
        "success": true,
        "restored_files": paths(restored),
        "removed_files": paths(removed),
        "git_commit": saved.version,
    }))
    .into_response())
}

fn described(version: &Version) -> Value {
    let date = humantime::format_rfc3339_seconds(version.time).to_string();
    json!({ "hash": version.hash, "message": version.message, "date": date })
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
