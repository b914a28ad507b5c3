//! Versions: `GET /get_versions`, `GET /get_version_diff`, `POST /restore_version`,
//! `POST /create_version_snapshot`, and `POST /copy_project`. The actions of `/apply_files` are the
//! first three under other names.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};

use crate::api::answer::{self, Copied, Diff, Restored, Snapshot, Versions};
use crate::api::request::{
    CopyProject, CreateVersionSnapshot, GetVersionDiff, GetVersions, RestoreVersion,
};
use crate::app::App;
use crate::blocking;
use crate::server::error::ApiError;
use crate::server::extract::Body;
use crate::server::query::Query;
use crate::store::projects::{
    Action, Changes, CopyRequest, MAX_LOG_LENGTH, Part, Patience, ProjectError, ProjectKey, Version,
};
use crate::store::volume::Place;
use crate::types::VersionId;

/// How many versions are listed if the request does not say.
const DEFAULT_LOG_LENGTH: usize = 50;
/// The message of a snapshot if the request gives none.
const SNAPSHOT_MESSAGE: &str = "スナップショット";
/// The message of a copy's version if the request gives none.
const COPY_MESSAGE: &str = "プロジェクトをコピー";

pub(in crate::server) async fn get_versions(
    State(app): State<Arc<App>>,
    Query(asked): Query<GetVersions>,
) -> Result<Response, ApiError> {
    let key = ProjectKey { user: asked.user_id, project: asked.project_id };
    let part = Part {
        skip: to_usize(asked.skip.unwrap_or(0)),
        limit: length(asked.limit),
        with_undone: asked.all.is_some_and(|all| all != 0),
    };
    log(app, key, part).await
}

pub(in crate::server) async fn get_version_diff(
    State(app): State<Arc<App>>,
    Query(asked): Query<GetVersionDiff>,
) -> Result<Response, ApiError> {
    let key = ProjectKey { user: asked.user_id, project: asked.project_id };
    diff(app, key, asked.commit).await
}

pub(in crate::server) async fn restore_version(
    State(app): State<Arc<App>>,
    Body { value: body, .. }: Body<RestoreVersion>,
) -> Result<Response, ApiError> {
    let key = ProjectKey { user: body.user_id, project: body.project_id };
    restore(app, key, body.commit).await
}

pub(in crate::server) async fn create_version_snapshot(
    State(app): State<Arc<App>>,
    Body { value: body, .. }: Body<CreateVersionSnapshot>,
) -> Result<Response, ApiError> {
    let key = ProjectKey { user: body.user_id, project: body.project_id };
    let message = body.message.unwrap_or_default().or(SNAPSHOT_MESSAGE);
    let projects = app.store.projects.clone();
    let snapshot = async {
        let saved = blocking::run(move || {
            projects.open(key)?;
            let changes = Changes { message, keep_unsaved: true, ..Changes::default() };
            projects.publish(key, &changes)
        });
        saved.await?.map_err(ApiError::from)
    };
    let saved = app.store.volume.changing(Place::Project(key), snapshot).await?;
    let answer = Snapshot { created: saved.is_new, git_commit: saved.version, success: true };
    Ok(Json(answer).into_response())
}

pub(in crate::server) async fn copy_project(
    State(app): State<Arc<App>>,
    Body { value: body, .. }: Body<CopyProject>,
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
    // `_waiting` is dropped with this future if the client leaves, which ends the work in the
    // background.
    let (patience, _waiting) = Patience::begin();
    app.store.volume.freshen(Place::Project(request.from)).await;
    let change = app.store.volume.change(Place::Project(request.to));
    let copied = blocking::run(move || app.store.projects.copy(&request, &patience)).await??;
    change.commit().await?;
    Ok(Json(Copied { git_commit: copied.version, success: true }).into_response())
}

/// How many versions an answer has at most.
pub(super) fn length(limit: Option<u32>) -> usize {
    limit.map_or(DEFAULT_LOG_LENGTH, to_usize).clamp(1, MAX_LOG_LENGTH)
}

/// Answers with a list of versions.
pub(super) async fn log(app: Arc<App>, key: ProjectKey, part: Part) -> Result<Response, ApiError> {
    let (patience, _waiting) = Patience::begin();
    app.store.volume.freshen(Place::Project(key)).await;
    let read = blocking::run(move || {
        let log = app.store.projects.log(key, part, &patience)?;
        let unfinished = match app.store.projects.open(key) {
            Ok(project) => project.unfinished()?,
            Err(ProjectError::NotFound) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok((log, unfinished))
    });
    let (log, unfinished) = read.await??;
    let versions = |list: Vec<Version>| list.into_iter().map(described).collect();
    let answer = Versions {
        auto_initialized: log.is_new,
        commits: versions(log.versions),
        has_more: log.has_more,
        partial: versions(unfinished),
    };
    Ok(Json(answer).into_response())
}

/// Answers with what a version changed.
pub(super) async fn diff(
    app: Arc<App>,
    key: ProjectKey,
    version: VersionId,
) -> Result<Response, ApiError> {
    let (patience, _waiting) = Patience::begin();
    app.store.volume.freshen(Place::Project(key)).await;
    let diff = blocking::run(move || app.store.projects.open(key)?.diff(&version, &patience));
    let diff = diff.await??;
    Ok(Json(Diff { diff: diff.text, truncated: diff.is_cut }).into_response())
}

/// Restores a version.
pub(super) async fn restore(
    app: Arc<App>,
    key: ProjectKey,
    version: VersionId,
) -> Result<Response, ApiError> {
    let (patience, _waiting) = Patience::begin();
    let projects = app.store.projects.clone();
    let restored = async {
        let restored = blocking::run(move || projects.restore(key, &version, &patience));
        restored.await?.map_err(ApiError::from)
    };
    let saved = app.store.volume.changing(Place::Project(key), restored).await?;
    let (removed, restored): (Vec<_>, Vec<_>) =
        saved.files.into_iter().partition(|file| file.action == Action::Delete);
    let paths = |files: Vec<crate::store::projects::SavedFile>| {
        files.into_iter().map(|file| file.path).collect::<Vec<_>>()
    };
    let answer = Restored {
        git_commit: saved.version,
        removed_files: paths(removed),
        restored_files: paths(restored),
        success: true,
    };
    Ok(Json(answer).into_response())
}

fn described(version: Version) -> answer::ListedVersion {
    let date = humantime::format_rfc3339_seconds(version.time).to_string();
    answer::ListedVersion { date, hash: version.hash, message: version.message }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
