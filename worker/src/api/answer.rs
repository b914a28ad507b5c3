//! The JSON answers. The fields of each are in alphabetical order, because serde writes them in the
//! order of their declaration and clients have always seen them so.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::ErrorCode;
use crate::types::SkillName;

/// An error outside of a stream.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Error {
    /// The code of the error, for programs.
    pub code: ErrorCode,
    /// What is wrong, for people. The text may change.
    pub error: String,
}

/// The files of a project, by path.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Files {
    /// Size, time and hash of each file, if the request asked for `details`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Vec<FileDetails>>,
    /// The paths of all files.
    pub files: Vec<String>,
}

/// Size, time and hash of a file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileDetails {
    /// The id that git gives to this content.
    pub hash: String,
    /// The time of the last change, in RFC 3339 and UTC.
    pub mtime: String,
    /// The path of the file.
    pub path: String,
    /// The size in bytes.
    pub size: u64,
}

/// The error of `list_files` if the project does not exist.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NoProject {
    /// Always `NOT_FOUND`.
    pub code: ErrorCode,
    /// What is wrong, for people.
    pub error: &'static str,
    /// Always empty.
    pub files: [String; 0],
}

/// Versions of a project, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Versions {
    /// `true` if the project had no history and this request has made its first version.
    #[serde(rename = "autoInitialized", skip_serializing_if = "is_false")]
    pub auto_initialized: bool,
    /// The versions.
    pub commits: Vec<ListedVersion>,
    /// Whether there are older versions.
    pub has_more: bool,
    /// Versions with the unfinished work of failed runs. They can be restored like any other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partial: Vec<ListedVersion>,
}

/// One version of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListedVersion {
    /// When the version was made, in RFC 3339 and UTC.
    pub date: String,
    /// The abbreviated id of the version's commit.
    pub hash: String,
    /// The first line of the version's message.
    pub message: String,
}

/// What a version changed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Diff {
    /// The changes as a unified diff.
    pub diff: String,
    /// `true` if the diff was too long and has been cut; its last line says so too.
    #[serde(skip_serializing_if = "is_false")]
    pub truncated: bool,
}

/// The result of restoring a version.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Restored {
    /// The newest version of the project after the request.
    pub git_commit: Option<String>,
    /// Files that were removed because the restored version does not have them.
    pub removed_files: Vec<String>,
    /// Files that were written because their content differed from the restored version.
    pub restored_files: Vec<String>,
    /// Always true.
    pub success: bool,
}

/// The result of making a snapshot.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Snapshot {
    /// Whether a version was made. `false` if the newest version has all files as they are.
    pub created: bool,
    /// The newest version of the project after the request.
    pub git_commit: Option<String>,
    /// Always true.
    pub success: bool,
}

/// The result of copying a project.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Copied {
    /// The newest version of the copy.
    pub git_commit: Option<String>,
    /// Always true.
    pub success: bool,
}

/// A file that a user has uploaded.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Asset {
    /// The media type, which the worker finds by the first bytes of the file.
    pub content_type: &'static str,
    /// When it was uploaded, in RFC 3339 and UTC.
    pub created_at: String,
    /// The name of the file on the user's machine.
    pub filename: String,
    /// The id of the asset.
    pub id: crate::types::AssetId,
    /// The path of the asset below the data folder.
    pub path: String,
    /// The SHA-256 of its bytes, as 64 hexadecimal digits.
    pub sha256: String,
    /// The size in bytes.
    pub size: u64,
    /// The URL at which it is served.
    pub url: String,
}

/// All assets of a user, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Assets {
    /// All assets that are not deleted.
    pub assets: Vec<Asset>,
}

/// The request was carried out.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Success {
    /// Always true.
    pub success: bool,
}

/// The result of restoring an asset.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RestoredAsset {
    /// The restored asset.
    pub asset: Asset,
    /// Always true.
    pub success: bool,
}

/// The process is serving requests.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Live {
    /// Always `live`.
    pub status: &'static str,
}

/// Whether games can be generated.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ready {
    /// The result of the self-test. `null` while the test runs, or if it could not be made.
    pub confinement: Option<Confinement>,
    /// The problems because of which no game can be generated, by name.
    pub problems: BTreeMap<&'static str, String>,
    /// The number of generations that are running.
    pub running: usize,
    /// `ready` or `not_ready`.
    pub status: &'static str,
    /// What is in flight on the volume.
    pub volume: InFlight,
}

/// How much of each kind is in flight on the volume.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InFlight {
    /// Clients that wait for a change to be made and committed.
    pub commits: usize,
    /// Projects that are being copied into the workspaces of runs.
    pub copies: usize,
    /// Files that are being listed, compared or sent.
    pub reads: usize,
    /// Changes that are being made: versions, copies of projects, assets that are deleted.
    pub saves: usize,
    /// Assets that clients are sending.
    pub uploads: usize,
}

/// The protections of the sandbox, and the attacks of the self-test that were not denied.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Confinement {
    /// Protections that are applied.
    pub applied: Vec<String>,
    /// The number of attacks that the self-test made.
    pub attacks: usize,
    /// Protections that this machine does not offer.
    pub missing: Vec<Missing>,
    /// Attacks that were not denied.
    pub not_denied: Vec<String>,
}

/// A protection that this machine does not offer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Missing {
    /// The name of the protection.
    pub mechanism: String,
    /// Why it could not be applied.
    pub reason: String,
}

/// The program and its version.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Program {
    /// Always `dreamcore-worker`.
    pub name: &'static str,
    /// The version of the program.
    pub version: &'static str,
}

/// What the user wants with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// To have an earlier version of the game back.
    Restore,
    /// To get an answer in words.
    Chat,
    /// To have the game changed or made.
    Edit,
}

/// What the user wants with a message, and whether a model judged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Judged {
    /// What the user wants.
    pub intent: Intent,
    /// `true` if no model answered and the worker's table of patterns decided.
    #[serde(rename = "fallback", skip_serializing_if = "std::ops::Not::not")]
    pub is_guess: bool,
}

/// The skills that fit a message, and whether a model chose them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Chosen {
    /// At most 5 names of skills, the setup skill first.
    #[serde(serialize_with = "as_names")]
    #[schemars(with = "Vec<SkillName>")]
    pub skills: Vec<SkillName>,
    /// `true` if no model answered and the worker's table of words decided.
    #[serde(rename = "fallback", skip_serializing_if = "std::ops::Not::not")]
    pub is_guess: bool,
}

/// The answer to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Reply {
    /// An answer in words, with suggestions.
    Said {
        /// The answer, in Markdown.
        message: String,
        /// Messages that the user may want to send next.
        suggestions: Vec<String>,
    },
    /// The text of the model as it is, if the request asked for `raw_output`.
    Raw {
        /// The text.
        result: String,
    },
}

/// The introduction with which a game is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Introduction {
    /// The title, at most 50 characters.
    pub title: String,
    /// What the game is about, at most 200 characters.
    pub description: String,
    /// How the game is played, at most 300 characters.
    pub how_to_play: String,
    /// At most 5 tags of at most 10 characters each.
    pub tags: Vec<String>,
}

/// The texts of skills.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SkillContents {
    /// The `SKILL.md` of each skill that exists, by name.
    pub skills: BTreeMap<String, String>,
}

/// Whether a run of the user would start at once.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Warmth {
    /// `already_warm` if a run would start at once, else `warmed`.
    pub status: &'static str,
}

fn as_names<S: Serializer>(skills: &[SkillName], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(skills.iter().map(SkillName::as_str))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}
