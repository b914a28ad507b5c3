//! `POST /apply_files`: changes files, or does one of the actions on versions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use tokio::time::Instant;

use super::generate::asset_urls;
use super::versions;
use crate::api::ErrorCode;
use crate::api::request::{ApplyFiles, Encoding, FileAction, FileChange, Objects};
use crate::app::App;
use crate::blocking;
use crate::json::{List, Object, Text};
use crate::runs::SentFiles;
use crate::runs::failure::Failure;
use crate::server::error::ApiError;
use crate::server::extract::{Body, UnreadBody, parse};
use crate::server::share::Share;
use crate::server::sse;
use crate::store::assets::AssetUrls;
use crate::store::assets::replace::{
    MAX_GROWTH_BYTES, TooLong, is_code, most_growth, replace_in_file,
};
use crate::store::projects::{Part, ProjectKey, StateChange};
use crate::types::{ProjectPath, RequestPath, VersionId};

/// The message of the version if the request gives none.
const DEFAULT_MESSAGE: &str = "ファイルを更新";
/// Longest wait for memory in which URLs are put into code.
const ROOM_TIMEOUT: Duration = Duration::from_secs(30);

/// What a request asks for.
enum Asked {
    Log(Option<u32>),
    Diff(VersionId),
    Restore(VersionId),
    Save(Result<SentFiles, Failure>, Option<AssetUrls>),
}

pub(in crate::server) async fn apply_files(
    State(app): State<Arc<App>>,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let Body { value: (key, asked), mut share } = body.read(asked).await?;
    match asked {
        Asked::Log(limit) => {
            let part = Part { limit: versions::length(limit), ..Part::default() };
            versions::log(app, key, part).await
        }
        Asked::Diff(commit) => versions::diff(app, key, commit).await,
        Asked::Restore(commit) => versions::restore(app, key, commit).await,
        Asked::Save(..) if app.runs.is_closing() => Err(ApiError::shutting_down()),
        Asked::Save(mut sent, urls) => {
            if let (Ok(files), Some(urls)) = (&mut sent, urls) {
                put_urls(files, urls, &mut share).await?;
            }
            Ok(sse::respond(app.runs.apply(key, sent, || drop(share)), ()))
        }
    }
}

/// Reads a whole request, whose text may be long.
fn asked(text: &str) -> Result<(ProjectKey, Asked), ApiError> {
    let body: ApplyFiles<'_> = parse(text)?;
    let key = ProjectKey { user: body.user_id, project: body.project_id };
    let commit = || body.commit.clone().ok_or_else(|| ApiError::bad_request("commit: is required"));
    let asked = match body.action.as_deref() {
        None => {
            let files = body.files.ok_or_else(|| ApiError::bad_request("files: is required"))?;
            let message = body.commit_message.unwrap_or_default().or(DEFAULT_MESSAGE);
            let urls = asset_urls(body.asset_urls)?;
            Asked::Save(sent_files(files, message), urls)
        }
        Some("git_log") => Asked::Log(body.limit),
        Some("git_diff") => Asked::Diff(commit()?),
        Some("git_restore") => Asked::Restore(commit()?),
        Some(_) => {
            let message = "action: must be git_log, git_diff or git_restore";
            return Err(ApiError::bad_request(message));
        }
    };
    Ok((key, asked))
}

/// Puts the URLs of assets into all files that are code, when there is room for what that makes of
/// them.
async fn put_urls(
    sent: &mut SentFiles,
    urls: AssetUrls,
    share: &mut Share,
) -> Result<(), ApiError> {
    let (mut bytes, mut growth) = (0, 0_usize);
    for (path, content) in &sent.write {
        bytes += content.len();
        growth += if is_code(path.as_str()) { most_growth(content, &urls) } else { 0 };
    }
    if growth == 0 {
        return Ok(());
    }
    let deadline = Instant::now() + ROOM_TIMEOUT;
    share.add_room(bytes, growth.min(MAX_GROWTH_BYTES), deadline).await?;
    let mut write = std::mem::take(&mut sent.write);
    let replaced = blocking::run(move || {
        let mut room = MAX_GROWTH_BYTES;
        for (path, content) in &mut write {
            let replaced = replace_in_file(path.as_str(), content, &urls, content.len() + room)?;
            if let Some(replaced) = replaced {
                room -= replaced.len().saturating_sub(content.len()).min(room);
                *content = replaced;
            }
        }
        Ok::<_, TooLong>(write)
    });
    let too_long = |error| ApiError::bad_request(format!("asset_urls: {error}"));
    sent.write = replaced.await?.map_err(too_long)?;
    Ok(())
}

/// Checks and decodes all files. Fails with the first reason why they cannot be saved.
fn sent_files(List(files): Objects<FileChange<'_>>, message: String) -> Result<SentFiles, Failure> {
    let mut write = BTreeMap::new();
    let mut remove = BTreeSet::new();
    let mut state = None;
    for Object(file) in files {
        let shown: String = file.path.0.escape_debug().take(200).collect();
        let bad_path = |why: &str| Failure::new(ErrorCode::InvalidPath, format!("{shown}: {why}"));
        let path: RequestPath =
            file.path.0.parse().map_err(|error| bad_path(&format!("{error}")))?;
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

fn content(shown: &str, file: FileChange<'_>) -> Result<Vec<u8>, Failure> {
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let invalid = |why: &str| Failure::new(ErrorCode::InvalidContent, format!("{shown}: {why}"));
    let Text(text) = file.content.ok_or_else(|| invalid("content: is required"))?;
    match file.encoding {
        None | Some(Encoding::Utf8) => Ok(text.into_owned().into_bytes()),
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

    fn file<'a>(
        path: &'a str,
        content: Option<&'a str>,
        action: Option<FileAction>,
    ) -> FileChange<'a> {
        let content = content.map(|text| Text(text.into()));
        FileChange { path: Text(path.into()), content, action, encoding: None }
    }

    fn read(files: Vec<FileChange<'_>>) -> Result<SentFiles, Failure> {
        sent_files(List(files.into_iter().map(Object).collect()), "x".to_owned())
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
