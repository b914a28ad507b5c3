//! The requests, field by field. Parsing checks them, so a value of one of these types is valid.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::json::{List, Map, Object, Text};
use crate::types::{
    AssetId, FileName, ProjectId, Prompt, RequestPath, SkillName, UserId, VersionId, VersionMessage,
};

/// The most items of a list or map that are built while a body is parsed. Each list has a lower
/// limit of its own, with a better message; this one bounds the memory of the items.
const MAX_ITEMS: usize = 10_000;
/// The most files in one request, and the most entries of a conversation.
const MAX_OBJECTS: usize = 100_000;

/// For each name of an asset, the URL that replaces `assets/NAME` in code.
pub type UrlsByName = Map<String, MAX_ITEMS>;
/// A list of values that are written as strings.
pub type Items<T> = List<T, MAX_ITEMS>;
/// A list of objects.
pub type Objects<T> = List<Object<T>, MAX_OBJECTS>;

/// The body of `generate_game`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GenerateGame {
    /// The owner of the project.
    pub user_id: UserId,
    /// The project. It is made if it does not exist.
    pub project_id: ProjectId,
    /// What the assistant is to do.
    #[schemars(with = "Option<Prompt>")]
    pub prompt: Option<String>,
    /// Another name for `prompt`, which counts if `prompt` is missing or empty.
    #[schemars(with = "Option<Prompt>")]
    pub message: Option<String>,
    /// The skills that the assistant is told to load first.
    #[schemars(with = "Option<Vec<SkillName>>", length(max = 20))]
    pub skills: Option<Items<SkillName>>,
    /// The URLs that replace `assets/NAME` in the code that the run writes.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub asset_urls: Option<UrlsByName>,
    /// For tests of the caller: no run takes place, and the stream ends as if one had failed in
    /// this way (`timeout`, `general`, `sandbox`, `network`, `rate_limit`). Any other value ends it
    /// with success.
    #[serde(rename = "_test_error")]
    pub test_error: Option<String>,
}

/// The body of `apply_files`. It has either `files` or an `action`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ApplyFiles<'a> {
    /// The owner of the project.
    pub user_id: UserId,
    /// The project. It is made if it does not exist.
    pub project_id: ProjectId,
    /// An action on versions, instead of `files`.
    #[schemars(with = "Option<VersionAction>")]
    pub action: Option<String>,
    /// The files to change. Either all of them change or none.
    #[serde(borrow)]
    #[schemars(with = "Option<Vec<FileChange<'static>>>", length(max = MAX_OBJECTS))]
    pub files: Option<Objects<FileChange<'a>>>,
    /// The message of the version that is made.
    pub commit_message: Option<VersionMessage>,
    /// How many versions `git_log` lists at most.
    pub limit: Option<u32>,
    /// The version that `git_diff` shows or `git_restore` restores.
    pub commit: Option<VersionId>,
    /// The URLs that replace `assets/NAME` in the code among `files`.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub asset_urls: Option<UrlsByName>,
}

/// The actions of `apply_files` on versions. They do the same as `get_versions`, `get_version_diff`
/// and `restore_version`; the relay uses these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum VersionAction {
    /// Lists the versions of the project.
    GitLog,
    /// Shows what a version changed.
    GitDiff,
    /// Restores a version.
    GitRestore,
}

/// One change of a file.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct FileChange<'a> {
    /// The path of the file. If it is not allowed, the stream ends with an error.
    #[serde(borrow)]
    #[schemars(with = "RequestPath")]
    pub path: Text<'a>,
    /// The new content of the file. Required unless the file is deleted.
    #[serde(borrow)]
    #[schemars(with = "Option<String>")]
    pub content: Option<Text<'a>>,
    /// What happens to the file. Without an action it is written.
    pub action: Option<FileAction>,
    /// The encoding of `content`. Without one it is UTF-8.
    pub encoding: Option<Encoding>,
}

/// What happens to a file. `create` and `update` do the same: the file is written, whether it
/// exists or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileAction {
    /// Writes the file.
    Create,
    /// Writes the file.
    Update,
    /// Removes the file if it exists.
    Delete,
}

/// The encoding of a file's bytes as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Encoding {
    /// The text is the content.
    #[serde(rename = "utf-8", alias = "utf8", alias = "UTF-8")]
    Utf8,
    /// Base64, with or without padding and line ends.
    #[serde(rename = "base64")]
    Base64,
}

/// The query of `get_file`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetFile {
    /// The owner of the project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// The path of the file; `index.html` if it is missing.
    pub path: Option<RequestPath>,
}

/// The query of `list_files`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListFiles {
    /// The owner of the project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// `1` adds size, time and hash of each file.
    pub details: Option<Switch>,
}

/// A choice between no (`0`) and yes (`1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Switch {
    /// No.
    #[serde(rename = "0")]
    Off,
    /// Yes.
    #[serde(rename = "1")]
    On,
}

/// The query of `get_versions`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetVersions {
    /// The owner of the project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// The largest number of versions in the answer, 1 to 500; 50 if it is missing.
    pub limit: Option<u32>,
    /// How many of the newest versions are left out.
    pub skip: Option<u32>,
    /// Any number but `0` adds the versions that were undone.
    pub all: Option<u32>,
}

/// The query of `get_version_diff`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetVersionDiff {
    /// The owner of the project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// The version.
    pub commit: VersionId,
}

/// The body of `restore_version`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RestoreVersion {
    /// The owner of the project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// The version to restore.
    pub commit: VersionId,
}

/// The body of `create_version_snapshot`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CreateVersionSnapshot {
    /// The owner of the project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// The message of the version that is made.
    pub message: Option<VersionMessage>,
}

/// The body of `copy_project`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CopyProject {
    /// The owner of the project that is copied.
    pub user_id: UserId,
    /// The project that is copied.
    pub project_id: ProjectId,
    /// The owner of the copy; the same user if it is missing.
    pub target_user_id: Option<UserId>,
    /// The project that the copy becomes. It must not exist.
    pub target_project_id: ProjectId,
    /// Whether the versions of the project are copied too.
    #[serde(default)]
    pub history: bool,
    /// The message of the copy's first own version.
    pub message: Option<VersionMessage>,
}

/// How long the body of an upload may take to arrive, and how long its client may be silent
/// meanwhile. A phone with a weak connection sends a large file for minutes.
pub const UPLOAD_WITHIN: Duration = Duration::from_mins(10);
/// See [`UPLOAD_WITHIN`].
pub const UPLOAD_SILENCE: Duration = Duration::from_secs(30);

/// The query of `upload_asset`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UploadAsset {
    /// The owner of the asset.
    pub user_id: UserId,
    /// The name of the file. If it is missing, the name in the form counts.
    pub filename: Option<FileName>,
}

/// A request about one asset.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OneAsset {
    /// The owner of the asset.
    pub user_id: UserId,
    /// The asset.
    pub asset_id: AssetId,
}

/// The query of `list_assets`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListAssets {
    /// The owner of the assets.
    pub user_id: UserId,
}

/// The body of `detect_intent`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DetectIntent {
    /// The message of the user.
    pub message: String,
}

/// The body of `detect_skills`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DetectSkills {
    /// The message of the user.
    pub message: String,
    /// Whether the game is in 2D or 3D; 2D if it is missing.
    pub dimension: Option<Dimension>,
    /// The present code of the game.
    pub existing_code: Option<String>,
}

/// Whether a game is in two or in three dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// Two dimensions, with p5.js.
    #[default]
    #[serde(rename = "2d", alias = "2D")]
    Two,
    /// Three dimensions, with three.js.
    #[serde(rename = "3d", alias = "3D")]
    Three,
}

/// The body of `chat_haiku` and `chat_sonnet`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskChat {
    /// The message of the user.
    pub message: String,
    /// The specification of the game.
    pub game_spec: Option<String>,
    /// The conversation before the message. Its last entry may be the message itself.
    #[schemars(with = "Option<Vec<Entry>>", length(max = MAX_OBJECTS))]
    pub conversation_history: Option<Objects<Entry>>,
    /// Instructions for the model that replace the worker's own.
    pub system_prompt: Option<String>,
    /// Whether the text of the model is the answer as it is.
    pub raw_output: Option<bool>,
}

/// One entry of a conversation. Entries without content or with another role are ignored.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Entry {
    /// `user` or `assistant`.
    pub role: String,
    /// The text of the entry.
    #[serde(default)]
    pub content: Option<String>,
}

/// The body of `generate_publish_info`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GeneratePublishInfo {
    /// The owner of the project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// The name that the user has given to the project.
    pub project_name: Option<String>,
    /// The code of the game.
    pub game_code: Option<String>,
    /// The specification of the game.
    pub spec_content: Option<String>,
}

/// The body of `get_skill_content`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetSkillContent {
    /// The names of the skills. Those that no skill has, or can have, are ignored.
    #[schemars(with = "Vec<String>", length(max = 20))]
    pub skill_names: Items<String>,
}

/// The body of `prewarm_sandbox`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PrewarmSandbox {
    /// The user whose run is expected.
    pub user_id: UserId,
}

/// The body of `volume_changed`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct VolumeChanged {
    /// The owner of what has changed.
    pub user_id: UserId,
    /// The project that has changed. If it is missing, the assets of the user have changed.
    pub project_id: Option<ProjectId>,
}
