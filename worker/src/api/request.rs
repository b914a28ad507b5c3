//! What callers send, field by field. A value of one of these types was checked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::types::{
    AssetId, FileName, ProjectId, Prompt, RequestPath, SkillName, UserId, VersionId, VersionMessage,
};

/// Names of assets, and the URL that takes the place of `assets/NAME` in code.
pub type UrlsByName = BTreeMap<String, String>;

/// The body of `generate_game`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GenerateGame {
    /// Whose project.
    pub user_id: UserId,
    /// The project; it is made if there is none.
    pub project_id: ProjectId,
    /// What to do.
    #[schemars(with = "Option<Prompt>")]
    pub prompt: Option<String>,
    /// Another name for `prompt`, for where that is missing or empty.
    #[schemars(with = "Option<Prompt>")]
    pub message: Option<String>,
    /// Skills that the assistant is to load first.
    #[schemars(length(max = 20))]
    pub skills: Option<Vec<SkillName>>,
    /// Put into the code that the run writes.
    pub asset_urls: Option<UrlsByName>,
    /// How a run shall seem to end that never takes place: `timeout`, `general`, `sandbox`, `network`,
    /// `rate_limit`, or anything else for a success.
    #[serde(rename = "_test_error")]
    pub test_error: Option<String>,
}

/// The body of `apply_files`: `files`, or an `action`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ApplyFiles {
    /// Whose project.
    pub user_id: UserId,
    /// The project; it is made if there is none.
    pub project_id: ProjectId,
    /// One of the actions on versions, instead of `files`.
    #[schemars(with = "Option<VersionAction>")]
    pub action: Option<String>,
    /// What is to change, all of it or nothing.
    pub files: Option<Vec<FileChange>>,
    /// What the version is called.
    pub commit_message: Option<VersionMessage>,
    /// Most versions that `git_log` lists.
    pub limit: Option<u32>,
    /// The version for `git_diff` and `git_restore`.
    pub commit: Option<VersionId>,
    /// Put into code among `files`.
    pub asset_urls: Option<UrlsByName>,
}

/// What `apply_files` does with versions: `get_versions`, `get_version_diff` and `restore_version`
/// under the names that the relay uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum VersionAction {
    /// Lists versions.
    GitLog,
    /// Shows what a version changed.
    GitDiff,
    /// Brings a version back.
    GitRestore,
}

/// One file that is to change.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct FileChange {
    /// Where it is. A path that is not allowed is an error of the stream.
    #[schemars(with = "RequestPath")]
    pub path: String,
    /// What is to be in it; required unless it is deleted.
    pub content: Option<String>,
    /// What happens to it; without one it is written.
    pub action: Option<FileAction>,
    /// How `content` stands for the bytes.
    pub encoding: Option<Encoding>,
}

/// Writing a file creates it or replaces it, whichever of the two is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileAction {
    /// Writes it.
    Create,
    /// Writes it.
    Update,
    /// Removes it, if it is there.
    Delete,
}

/// How a text stands for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Encoding {
    /// As they are.
    #[serde(rename = "utf-8", alias = "utf8", alias = "UTF-8")]
    Utf8,
    /// With or without padding and line ends.
    #[serde(rename = "base64")]
    Base64,
}

/// The query of `get_file`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetFile {
    /// Whose project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// The file; `index.html` without one.
    pub path: Option<RequestPath>,
}

/// The query of `list_files`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListFiles {
    /// Whose project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// `1`: with size, time and hash of each file.
    pub details: Option<Switch>,
}

/// A choice in a query.
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
    /// Whose project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// Most versions in the answer, 1 to 500; 50 without it.
    pub limit: Option<u32>,
    /// Versions that are left out, from the newest on.
    pub skip: Option<u32>,
    /// Anything but `0`: also versions that were undone.
    pub all: Option<u32>,
}

/// The query of `get_version_diff`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetVersionDiff {
    /// Whose project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// The version.
    pub commit: VersionId,
}

/// The body of `restore_version`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RestoreVersion {
    /// Whose project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// The version that comes back.
    pub commit: VersionId,
}

/// The body of `create_version_snapshot`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CreateVersionSnapshot {
    /// Whose project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// What the version is called.
    pub message: Option<VersionMessage>,
}

/// The body of `copy_project`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CopyProject {
    /// Whose project is copied.
    pub user_id: UserId,
    /// The project that is copied.
    pub project_id: ProjectId,
    /// Whose project is made; the same user's without it.
    pub target_user_id: Option<UserId>,
    /// The project that is made.
    pub target_project_id: ProjectId,
    /// Whether its versions come along.
    #[serde(default)]
    pub history: bool,
    /// What the version is called that the copy begins with.
    pub message: Option<VersionMessage>,
}

/// The query of `upload_asset`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UploadAsset {
    /// Whose asset.
    pub user_id: UserId,
    /// What the file is called; without it, a form's own name counts.
    pub filename: Option<FileName>,
}

/// One asset of one user.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OneAsset {
    /// Whose asset.
    pub user_id: UserId,
    /// The asset.
    pub asset_id: AssetId,
}

/// The query of `list_assets`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListAssets {
    /// Whose assets.
    pub user_id: UserId,
}

/// The body of `detect_intent`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DetectIntent {
    /// What the user wrote.
    pub message: String,
}

/// The body of `detect_skills`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DetectSkills {
    /// What the user wrote.
    pub message: String,
    /// Whether the game is drawn flat or in space; flat without it.
    pub dimension: Option<Dimension>,
    /// The code that the game has already.
    pub existing_code: Option<String>,
}

/// Whether a game is drawn flat or in space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// With p5.js.
    #[default]
    #[serde(rename = "2d", alias = "2D")]
    Two,
    /// With three.js.
    #[serde(rename = "3d", alias = "3D")]
    Three,
}

/// The body of `chat_haiku` and `chat_sonnet`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskChat {
    /// What the user wrote.
    pub message: String,
    /// What the game is to be.
    pub game_spec: Option<String>,
    /// What was said before. It may end with `message`.
    pub conversation_history: Option<Vec<Entry>>,
    /// Instructions in place of the worker's own.
    pub system_prompt: Option<String>,
    /// Whether the model's plain text is the answer.
    pub raw_output: Option<bool>,
}

/// One entry of the relay's list. Roles that do not exist and empty entries are passed over.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Entry {
    /// `user` or `assistant`.
    pub role: String,
    /// What was said.
    #[serde(default)]
    pub content: Option<String>,
}

/// The body of `generate_publish_info`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GeneratePublishInfo {
    /// Whose project.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// What the user calls it.
    pub project_name: Option<String>,
    /// The code of the game.
    pub game_code: Option<String>,
    /// What the game is to be.
    pub spec_content: Option<String>,
}

/// The body of `get_skill_content`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetSkillContent {
    /// Names that no skill can have are left out, like those of skills that do not exist.
    #[schemars(length(max = 20))]
    pub skill_names: Vec<String>,
}

/// The body of `prewarm_sandbox`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PrewarmSandbox {
    /// Whose runs are expected.
    pub user_id: UserId,
}
