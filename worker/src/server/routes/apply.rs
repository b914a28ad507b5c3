//! `POST /apply_files`: changes files, or does one of the actions on versions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::generate::asset_urls;
use super::versions;
use crate::api::ErrorCode;
use crate::api::request::{ApplyFiles, Encoding, FileAction, FileChange};
use crate::app::App;
use crate::blocking;
use crate::runs::SentFiles;
use crate::runs::failure::Failure;
use crate::server::error::ApiError;
use crate::server::extract::LargeBody;
use crate::server::sse;
use crate::store::assets::AssetUrls;
use crate::store::assets::replace::{MAX_GROWTH_BYTES, replace_in_file};
use crate::store::projects::{Part, ProjectKey, StateChange};
use crate::types::{ProjectPath, RequestPath};

/// The message of the version if the request gives none.
const DEFAULT_MESSAGE: &str = "ファイルを更新";

pub(in crate::server) async fn apply_files(
    State(app): State<Arc<App>>,
    LargeBody { value: body, permit }: LargeBody<ApplyFiles>,
) -> Result<Response, ApiError> {
    let key = ProjectKey { user: body.user_id, project: body.project_id };
    let commit = || body.commit.clone().ok_or_else(|| ApiError::bad_request("commit: is required"));
    match body.action.as_deref() {
        None => {}
        Some("git_log") => {
            let part = Part { limit: versions::length(body.limit), ..Part::default() };
            return versions::log(app, key, part).await;
        }
        Some("git_diff") => return versions::diff(app, key, commit()?).await,
        Some("git_restore") => return versions::restore(app, key, commit()?).await,
        Some(_) => {
            let message = "action: must be git_log, git_diff or git_restore";
            return Err(ApiError::bad_request(message));
        }
    }
    let files = body.files.ok_or_else(|| ApiError::bad_request("files: is required"))?;
    if app.runs.is_closing() {
        return Err(ApiError::shutting_down());
    }
    let message = body.commit_message.unwrap_or_default().or(DEFAULT_MESSAGE);
    let urls = body.asset_urls;
    // A large request takes a while.
    let sent = blocking::run(move || {
        let urls = asset_urls(urls)?;
        let mut sent = sent_files(files, message);
        if let (Ok(sent), Some(urls)) = (&mut sent, &urls) {
            put_urls(sent, urls)?;
        }
        Ok::<_, ApiError>(sent)
    });
    let sent = sent.await??;
    Ok(sse::respond(app.runs.apply(key, sent, || permit.release())))
}

/// Puts the URLs of assets into all files that are code.
fn put_urls(sent: &mut SentFiles, urls: &AssetUrls) -> Result<(), ApiError> {
    let mut room = MAX_GROWTH_BYTES;
    for (path, content) in &mut sent.write {
        let replaced = replace_in_file(path.as_str(), content, urls, content.len() + room);
        let too_long = |error| ApiError::bad_request(format!("asset_urls: {error}"));
        if let Some(replaced) = replaced.map_err(too_long)? {
            room -= replaced.len().saturating_sub(content.len()).min(room);
            *content = replaced;
        }
    }
    Ok(())
}

/// Checks and decodes all files. Fails with the first reason why they cannot be saved.
fn sent_files(files: Vec<FileChange>, message: String) -> Result<SentFiles, Failure> {
    let mut write = BTreeMap::new();
    let mut remove = BTreeSet::new();
    let mut state = None;
    for file in files {
        let shown: String = file.path.escape_debug().take(200).collect();
        let bad_path = |why: &str| Failure::new(ErrorCode::InvalidPath, format!("{shown}: {why}"));
        let path: RequestPath = file.path.parse().map_err(|error| bad_path(&format!("{error}")))?;
        let is_delete = file.action == Some(FileAction::Delete);
        let content = if is_delete { Vec::new() } else { content(&shown, file)? };
        let is_first = match path {
            RequestPath::StyleState if is_delete => state.replace(StateChange::Remove).is_none(),
            RequestPath::StyleState => state.replace(StateChange::Write(content)).is_none(),
            RequestPath::File(path) if is_delete => {
                !write.contains_key(&path) && remove.insert(path)
            }
            RequestPath::File(path) => {
                !remove.contains(&path) && write.insert(path, content).is_none()
            }
        };
        if !is_first {
            return Err(bad_path("stands twice in the request"));
        }
    }
    // A path cannot be a file and a folder at the same time.
    for path in write.keys() {
        let mut outer = path.as_str();
        while let Some((folder, _)) = outer.rsplit_once('/') {
            if folder.parse().is_ok_and(|folder: ProjectPath| write.contains_key(&folder)) {
                let message = format!("{folder}: is a file and a folder in the request");
                return Err(Failure::new(ErrorCode::InvalidPath, message));
            }
            outer = folder;
        }
    }
    Ok(SentFiles { write, remove, state, message })
}

fn content(shown: &str, file: FileChange) -> Result<Vec<u8>, Failure> {
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let invalid = |why: &str| Failure::new(ErrorCode::InvalidContent, format!("{shown}: {why}"));
    let text = file.content.ok_or_else(|| invalid("content: is required"))?;
    match file.encoding {
        None | Some(Encoding::Utf8) => Ok(text.into_bytes()),
        Some(Encoding::Base64) => {
            // Some programs break base64 into lines.
            let text: Vec<u8> = text.bytes().filter(|byte| !b"\r\n".contains(byte)).collect();
            BASE64.decode(text).map_err(|_| invalid("content: is not base64"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: Option<&str>, action: Option<FileAction>) -> FileChange {
        let content = content.map(str::to_owned);
        FileChange { path: path.to_owned(), content, action, encoding: None }
    }

    fn read(files: Vec<FileChange>) -> Result<SentFiles, Failure> {
        sent_files(files, "x".to_owned())
    }

    #[test]
    fn one_bad_file_spoils_all() {
        for (bad, code) in [
            (file("../x", Some(""), None), ErrorCode::InvalidPath),
            (file(".git/config", None, Some(FileAction::Delete)), ErrorCode::InvalidPath),
            (file("a.js", Some("again"), None), ErrorCode::InvalidPath),
            (file("a.js", None, Some(FileAction::Delete)), ErrorCode::InvalidPath),
            (file("b.js", None, None), ErrorCode::InvalidContent),
        ] {
            let failure = read(vec![file("a.js", Some("x"), None), bad]).unwrap_err();
            assert_eq!(failure.code, code);
        }
    }

    #[test]
    fn base64_is_read_with_and_without_padding_and_lines() {
        for text in ["aGVsbG8=", "aGVsbG8", "aGVs\r\nbG8=\n"] {
            let mut file = file("a", Some(text), None);
            file.encoding = Some(Encoding::Base64);
            assert_eq!(content("a", file).unwrap(), b"hello");
        }
        let mut file = file("a", Some("a$b"), None);
        file.encoding = Some(Encoding::Base64);
        assert_eq!(content("a", file).unwrap_err().code, ErrorCode::InvalidContent);
    }

    #[test]
    fn the_state_file_is_apart() {
        let read = read(vec![
            file(".style-pending.json", Some(""), None),
            file("gone.js", None, Some(FileAction::Delete)),
        ]);
        let read = read.unwrap();
        assert_eq!(read.state, Some(StateChange::Write(Vec::new())));
        assert!(read.write.is_empty() && read.remove.len() == 1);
    }
}
