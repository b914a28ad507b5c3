//! `GET /get_file` and `GET /list_files`.

use std::io::Read as _;

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use crate::project::{OpenFile, ProjectError, ProjectKey};
use crate::server::error::ApiError;
use crate::server::media::Media;
use crate::server::query::{Query, parse_value};
use crate::server::router::App;
use crate::types::RequestPath;

/// Files up to this size are read at once, with the opening; larger ones are streamed.
const READ_AT_ONCE_BYTES: u64 = 256 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;

/// A file, with its content if it is small.
enum Content {
    Whole(Vec<u8>),
    Stream(std::fs::File),
}

pub(in crate::server) async fn get_file(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = Query::parse(query.as_deref().unwrap_or_default())?;
    let key = key(&query)?;
    let path: RequestPath = parse_value("path", query.get("path").unwrap_or("index.html"))?;

    let opened = blocking(move || {
        let file = app.volume().open(key)?.read(&path)?;
        read_small(file)
    });
    let (path, size, content) = match opened.await? {
        Err(ProjectError::NotFound) => return Err(ApiError::not_found("File not found")),
        result => result?,
    };
    let body = match content {
        Content::Whole(bytes) => Body::from(bytes),
        Content::Stream(file) => {
            // No further than the size that was promised, should the file grow meanwhile.
            let file = tokio::fs::File::from_std(file).take(size);
            Body::from_stream(ReaderStream::with_capacity(file, CHUNK_BYTES))
        }
    };
    let media = Media::of(&path);
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_str(&media.content_type);
    let fallback = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, content_type.unwrap_or(fallback));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(media.cache_control));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn read_small(file: OpenFile) -> Result<(String, u64, Content), ProjectError> {
    if file.size > READ_AT_ONCE_BYTES {
        return Ok((file.path, file.size, Content::Stream(file.file)));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(file.size).unwrap_or_default());
    file.file.take(READ_AT_ONCE_BYTES).read_to_end(&mut bytes)?;
    Ok((file.path, bytes.len() as u64, Content::Whole(bytes)))
}

pub(in crate::server) async fn list_files(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = Query::parse(query.as_deref().unwrap_or_default())?;
    let key = key(&query)?;
    let listed = blocking(move || app.volume().open(key)?.list()).await?;
    match listed {
        Ok(files) => {
            let files: Vec<_> = files.into_iter().map(|file| file.path).collect();
            Ok(Json(json!({ "files": files })).into_response())
        }
        Err(ProjectError::NotFound) => {
            let body = json!({ "files": [], "error": "Project not found", "code": "NOT_FOUND" });
            Ok((StatusCode::NOT_FOUND, Json(body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

fn key(query: &Query) -> Result<ProjectKey, ApiError> {
    Ok(ProjectKey { user: query.required("user_id")?, project: query.required("project_id")? })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::internal())
}
