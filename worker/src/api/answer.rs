//! What callers are answered in JSON. Fields stand in the order of their names, as they always have.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::ErrorCode;
use crate::types::SkillName;

/// An error outside a stream.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Error {
    /// For programs.
    pub code: ErrorCode,
    /// For people; it may change.
    pub error: String,
}

/// The files of a project, by path.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Files {
    /// What is known of each file, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Vec<FileDetails>>,
    /// The paths.
    pub files: Vec<String>,
}

/// What is known of a file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileDetails {
    /// The name that git has for this content.
    pub hash: String,
    /// When it was changed, RFC 3339 in UTC.
    pub mtime: String,
    /// Where it is.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}

/// The error of `list_files` where there is no project.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NoProject {
    /// Always `NOT_FOUND`.
    pub code: ErrorCode,
    /// For people.
    pub error: &'static str,
    /// Always empty.
    pub files: [String; 0],
}

/// Versions of a project, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Versions {
    /// The project had no history and got one for this answer.
    #[serde(rename = "autoInitialized", skip_serializing_if = "is_false")]
    pub auto_initialized: bool,
    /// The versions.
    pub commits: Vec<Version>,
    /// Whether there are older ones.
    pub has_more: bool,
    /// Unfinished work of runs that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partial: Vec<Version>,
}

/// One version.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Version {
    /// When it was made, RFC 3339 in UTC.
    pub date: String,
    /// Its hash, abbreviated.
    pub hash: String,
    /// The first line of its message.
    pub message: String,
}

/// What a version changed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Diff {
    /// A unified diff.
    pub diff: String,
    /// It was cut, and says so in its last line.
    #[serde(skip_serializing_if = "is_false")]
    pub truncated: bool,
}

/// A version that was brought back.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Restored {
    /// The newest version now.
    pub git_commit: Option<String>,
    /// Files that did not exist then.
    pub removed_files: Vec<String>,
    /// Files whose content changed.
    pub restored_files: Vec<String>,
    /// Always true.
    pub success: bool,
}

/// A snapshot.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Snapshot {
    /// Whether there was anything that no version had.
    pub created: bool,
    /// The newest version now.
    pub git_commit: Option<String>,
    /// Always true.
    pub success: bool,
}

/// A copy of a project.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Copied {
    /// The newest version of the copy.
    pub git_commit: Option<String>,
    /// Always true.
    pub success: bool,
}

/// An asset.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Asset {
    /// Its media type, by its first bytes.
    pub content_type: &'static str,
    /// When it was uploaded, RFC 3339 in UTC.
    pub created_at: String,
    /// What the user's file was called.
    pub filename: String,
    /// Its id.
    pub id: crate::types::AssetId,
    /// Where it is below the data folder.
    pub path: String,
    /// The digest of its bytes, 64 hexadecimal digits.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where it can be got.
    pub url: String,
}

/// All assets of a user, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Assets {
    /// The assets.
    pub assets: Vec<Asset>,
}

/// It is done.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Success {
    /// Always true.
    pub success: bool,
}

/// An asset that is back.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RestoredAsset {
    /// The asset.
    pub asset: Asset,
    /// Always true.
    pub success: bool,
}

/// The process serves.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Live {
    /// Always `live`.
    pub status: &'static str,
}

/// Whether games can be generated.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ready {
    /// What protects the worker; `null` while it is being tested, or where nothing can be confined.
    pub confinement: Option<Confinement>,
    /// What is wrong, by name.
    pub problems: BTreeMap<&'static str, String>,
    /// Generations under way.
    pub running: usize,
    /// `ready` or `not_ready`.
    pub status: &'static str,
    /// What is in flight on the volume.
    pub volume: InFlight,
}

/// How much of each kind is in flight on the volume.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InFlight {
    /// Projects that are being copied into the workspaces of runs.
    pub copies: usize,
    /// Files that are being listed, compared or sent.
    pub reads: usize,
    /// Changes that are being made: versions, copies of projects, assets that are deleted.
    pub saves: usize,
    /// Assets that clients are sending.
    pub uploads: usize,
}

/// What the sandbox consists of, and what a hostile program could do in it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Confinement {
    /// Protections that hold.
    pub applied: Vec<String>,
    /// How many attacks the self-test made.
    pub attacks: usize,
    /// Protections that cannot be had here.
    pub missing: Vec<Missing>,
    /// Attacks that were not denied.
    pub not_denied: Vec<String>,
}

/// A protection that cannot be had.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Missing {
    /// Which one.
    pub mechanism: String,
    /// Why.
    pub reason: String,
}

/// Which program this is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Program {
    /// Always `dreamcore-worker`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

/// What a message wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// An earlier version of the game.
    Restore,
    /// An answer in words.
    Chat,
    /// Another game, or a first one.
    Edit,
}

/// What a message wants, and how that was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Judged {
    /// What it wants.
    pub intent: Intent,
    /// Whether no model was heard and the table of patterns decided.
    #[serde(rename = "fallback", skip_serializing_if = "std::ops::Not::not")]
    pub is_guess: bool,
}

/// The skills for a message, and how they were found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Chosen {
    /// At most 5, the setup skill first.
    #[serde(serialize_with = "as_names")]
    #[schemars(with = "Vec<SkillName>")]
    pub skills: Vec<SkillName>,
    /// Whether no model was heard and the table of words decided.
    #[serde(rename = "fallback", skip_serializing_if = "std::ops::Not::not")]
    pub is_guess: bool,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Reply {
    /// Words and proposals.
    Said {
        /// The words, in Markdown.
        message: String,
        /// Orders that the user may give next.
        suggestions: Vec<String>,
    },
    /// The plain text of the model.
    Raw {
        /// It.
        result: String,
    },
}

/// The introduction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Introduction {
    /// At most 50 characters.
    pub title: String,
    /// At most 200 characters.
    pub description: String,
    /// At most 300 characters.
    pub how_to_play: String,
    /// At most 5, of at most 10 characters each.
    pub tags: Vec<String>,
}

/// Texts of skills.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SkillContents {
    /// The `SKILL.md` of each skill that exists, by name.
    pub skills: BTreeMap<String, String>,
}

/// Whether a run would start at once.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Warmth {
    /// `already_warm` or `warmed`.
    pub status: &'static str,
}

fn as_names<S: Serializer>(skills: &[SkillName], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(skills.iter().map(SkillName::as_str))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}
