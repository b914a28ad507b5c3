//! Files of a project: `GET /get_file` and `GET /list_files`.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::api::ErrorCode;
use crate::api::answer::{FileDetails, Files, NoProject};
use crate::api::request::{GetFile, ListFiles, Switch};
use crate::app::App;
use crate::blocking;
use crate::server::error::ApiError;
use crate::server::file_answer::{Described, FileAnswer, Validators};
use crate::server::media::Media;
use crate::server::query::Query;
use crate::store::projects::{Detail, OpenFile, ProjectError, ProjectKey};
use crate::store::volume::Place;
use crate::types::ProjectPath;

/// The file that is sent if the request names none.
const DEFAULT_PATH: &str = "index.html";
/// The file with the style of a game, which its author chooses before the first generation.
const STYLE_FILE: &str = "STYLE.md";
/// The last second of the year 9999. RFC 3339 has no form for later times.
const LATEST_S: u64 = 253_402_300_799;

pub(in crate::server) async fn get_file(
    State(app): State<Arc<App>>,
    Query(asked): Query<GetFile>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let key = ProjectKey { user: asked.user_id, project: asked.project_id };
    let path = match asked.path {
        Some(path) => path,
        None => DEFAULT_PATH.parse().map_err(|_| ApiError::internal())?,
    };

    app.store.volume.freshen(Place::Project(key)).await;
    // On this thread if nothing has to be waited for; otherwise one hop to a thread that may wait,
    // which opens and reads.
    if let Some(found) = app.store.projects.read_at_hand(key, &path)
        && let Some(answer) = file_answer(found).respond_at_hand(&method, &headers)
    {
        return answer;
    }
    let answer = move || match app.store.projects.open(key).and_then(|project| project.read(&path))
    {
        Err(ProjectError::NotFound) => Err(ApiError::not_found("File not found")),
        found => file_answer(found?).respond(&method, &headers),
    };
    blocking::run(answer).await?
}

fn file_answer(found: OpenFile) -> FileAnswer {
    // The media type follows from the name of the file that was found, which is another one if the
    // default page does not exist.
    let media = Media::of(&found.path);
    let fallback = HeaderValue::from_static("application/octet-stream");
    let described = Described {
        validators: Validators::of(&found.stat),
        content_type: HeaderValue::try_from(media.content_type).unwrap_or(fallback),
        cache_control: HeaderValue::from_static(media.cache_control),
        more: Vec::new(),
    };
    FileAnswer { file: found.file, described }
}

pub(in crate::server) async fn list_files(
    State(app): State<Arc<App>>,
    Query(asked): Query<ListFiles>,
) -> Result<Response, ApiError> {
    let key = ProjectKey { user: asked.user_id, project: asked.project_id };
    app.store.volume.freshen(Place::Project(key)).await;
    let with_details = asked.details == Some(Switch::On);
    let listed = blocking::run(move || {
        let project = app.store.projects.open(key)?;
        if with_details {
            let details = project.details()?;
            return Ok(described(if is_only_style(&details, |one| &one.path) {
                &[]
            } else {
                &details
            }));
        }
        let mut files = project.list()?;
        if is_only_style(&files, |one| &one.path) {
            files.clear();
        }
        let files = files.into_iter().map(|file| file.path.to_string()).collect();
        Ok(Files { details: None, files })
    });
    match listed.await? {
        Ok(files) => Ok(Json(files).into_response()),
        Err(ProjectError::NotFound) => {
            let error = "Project not found";
            let body = NoProject { code: ErrorCode::NotFound, error, files: [] };
            Ok((StatusCode::NOT_FOUND, Json(body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the project contains nothing but the style. The relay writes the style before the first
/// game, and treats a project with any listed file as one that has a game.
fn is_only_style<T>(files: &[T], path: impl Fn(&T) -> &ProjectPath) -> bool {
    matches!(files, [only] if path(only).as_str() == STYLE_FILE)
}

/// The list of paths, together with size, time and hash of each file.
fn described(details: &[Detail]) -> Files {
    let files = details.iter().map(|detail| detail.path.to_string()).collect();
    let details = details.iter().map(|Detail { path, size, modified, hash }| {
        // Times after 9999 have no form in RFC 3339, and those before 1970 are treated alike.
        let latest = UNIX_EPOCH + Duration::from_secs(LATEST_S);
        let modified = (*modified).clamp(UNIX_EPOCH, latest);
        let mtime = humantime::format_rfc3339_millis(modified).to_string();
        FileDetails { hash: hash.clone(), mtime, path: path.to_string(), size: *size }
    });
    Files { details: Some(details.collect()), files }
}
