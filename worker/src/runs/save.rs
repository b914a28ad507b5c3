//! Saves the work of a run: as a version, or, if the run failed, as a partial version.

use std::io::Read as _;
use std::sync::Arc;

use super::context::Context;
use super::events::Event;
use super::failure::Failure;
use super::workspace::{Copied, Harvest, Workspace};
use crate::blocking;
use crate::store::assets::AssetUrls;
use crate::store::assets::replace::{MAX_GROWTH_BYTES, is_code, replace_in_file};
use crate::store::projects::{Changes, Merged, ProjectError, Published, Source};
use crate::store::volume::Place;
use crate::types::{Prompt, user_words};

/// The status that the user sees while a version is made.
pub(super) const SAVING: &str = "変更を保存しています…";
/// The longest message of a version, in characters.
const MAX_MESSAGE_CHARS: usize = 72;
/// How many files one warning names.
const NAMED_FILES: usize = 10;

/// Saves the run's work as a version.
pub(super) async fn save(
    context: &Context,
    workspace: &Arc<Workspace>,
    copied: &Arc<Copied>,
) -> Result<Published, Failure> {
    context.say(SAVING).await;
    let (resources, request) = (&context.resources, &context.request);
    let (projects, workspace) = (resources.projects.clone(), Arc::clone(workspace));
    let (key, limits, copied) = (request.key, resources.store.files, Arc::clone(copied));
    let message = version_message(&request.prompt);
    let urls = request.asset_urls.clone();
    blocking::run(move || {
        let harvest = workspace.harvest(&copied, limits)?;
        let mut changes = changes(&workspace, harvest, &copied, message);
        if let Some(urls) = urls {
            put_urls(&workspace, &mut changes, &urls)?;
        }
        projects.publish(key, &changes).map_err(Failure::from)
    })
    .await?
}

/// Keeps the work of a failed run as a partial version, and names it in the failure.
pub(super) async fn keep_partial(
    context: &Context,
    workspace: &Arc<Workspace>,
    copied: &Arc<Copied>,
    mut failure: Failure,
) -> Failure {
    let (resources, request) = (&context.resources, &context.request);
    let (projects, workspace) = (resources.projects.clone(), Arc::clone(workspace));
    let (key, limits, copied) = (request.key, resources.store.files, Arc::clone(copied));
    let message = version_message(&request.prompt);
    let change = resources.volume.change(Place::Project(key));
    let kept = blocking::run(move || {
        let harvest = workspace.harvest_valid(&copied, limits)?;
        let changes = changes(&workspace, harvest, &copied, message);
        projects.keep_partial(key, &changes).map_err(Failure::from)
    });
    match kept.await.map_err(Failure::from).flatten() {
        Ok(None) => {}
        Ok(Some(partial)) => {
            // The run has failed already, and the version goes out with the next commit.
            if let Err(error) = change.commit().await {
                tracing::warn!(%error, "unfinished work is kept, but not committed");
            }
            failure.partial_version = Some(partial.version);
        }
        Err(error) => {
            tracing::warn!(error = error.message, "unfinished work could not be kept");
        }
    }
    failure
}

fn changes<'w>(
    workspace: &'w Workspace,
    harvest: Harvest,
    copied: &Copied,
    message: String,
) -> Changes<'w> {
    let content = |path| (path, Source::File(workspace.game()));
    Changes {
        write: harvest.write.into_iter().map(content).collect(),
        remove: harvest.remove.into_iter().collect(),
        message,
        base: Some(copied.base),
        ..Changes::default()
    }
}

/// Replaces names of assets by their URLs in the code that the run wrote.
fn put_urls(
    workspace: &Workspace,
    changes: &mut Changes<'_>,
    urls: &AssetUrls,
) -> Result<(), ProjectError> {
    let mut room = MAX_GROWTH_BYTES;
    for (path, content) in &mut changes.write {
        if !is_code(path.as_str()) {
            continue;
        }
        let mut bytes = Vec::new();
        workspace.game().file(path.as_str())?.0.read_to_end(&mut bytes)?;
        let replaced = replace_in_file(path.as_str(), &bytes, urls, bytes.len() + room);
        let too_long = |error| ProjectError::Quota(format!("{path}: asset_urls: {error}"));
        if let Some(replaced) = replaced.map_err(too_long)? {
            room -= replaced.len().saturating_sub(bytes.len()).min(room);
            *content = Source::Bytes(replaced);
        }
    }
    Ok(())
}

/// The warning if other saves took place while the run was going on.
pub(super) fn merge_warning(merged: &Merged) -> Event {
    let message = if merged.both.is_empty() {
        "the project was changed meanwhile; both changes are in it".to_owned()
    } else {
        let mut names: Vec<_> =
            merged.both.iter().take(NAMED_FILES).map(ToString::to_string).collect();
        if merged.both.len() > NAMED_FILES {
            names.push("…".to_owned());
        }
        format!(
            "the project was changed meanwhile; of these files the later content stands and the other is in the history: {}",
            names.join(", ")
        )
    };
    Event::Warning { message }
}

/// The message of a version: the first line of the user's own words.
fn version_message(prompt: &Prompt) -> String {
    let words = user_words(prompt.as_str());
    // If the user wrote nothing, for example only attached pictures, the whole prompt is used.
    let named = if words.is_empty() { prompt.as_str().trim() } else { words };
    let line = named.lines().next().unwrap_or_default().trim();
    let mut message: String = line.chars().take(MAX_MESSAGE_CHARS).collect();
    if line.chars().nth(MAX_MESSAGE_CHARS).is_some() {
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_called_by_the_first_line_of_its_prompt() {
        let name = |text: &str| version_message(&text.parse().unwrap());
        assert_eq!(name("\n  ジャンプを高くして \n詳しくは…"), "ジャンプを高くして");
        assert_eq!(name(&"あ".repeat(100)), format!("{}…", "あ".repeat(72)));
        let prompt = "<system>\n規則\n</system>\n\n<user>\n1：画像「a」を使用: u\n敵を増やして\n=== s\n</user>";
        assert_eq!(name(prompt), "敵を増やして");
        assert_eq!(name("=== s"), "=== s");
    }
}
