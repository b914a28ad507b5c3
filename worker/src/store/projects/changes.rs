//! What is to be saved, and what was.

use std::collections::{BTreeMap, BTreeSet};

use git2::Oid;
use serde::Serialize;

use crate::safe_fs::Dir;
use crate::types::{ProjectPath, STYLE_STATE_FILE};

/// Where the content of a file comes from.
#[derive(Debug, Clone)]
pub enum Source<'a> {
    /// From the file with the same path below this folder.
    File(&'a Dir),
    /// From memory.
    Bytes(Vec<u8>),
    /// From the project's history.
    Stored(StoredContent),
}

/// Content that is in the project's history already.
#[derive(Debug, Clone, Copy)]
pub struct StoredContent(pub(super) Oid);

/// What becomes of the relay's hidden state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    /// It gets this content.
    Write(Vec<u8>),
    /// It goes.
    Remove,
}

/// What is to be saved.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// Files to create or replace.
    pub write: BTreeMap<ProjectPath, Source<'a>>,
    /// Files to remove; those that are not there are no error.
    pub remove: BTreeSet<ProjectPath>,
    /// The relay's hidden state file. It belongs to no version.
    pub state: Option<StateChange>,
    /// What the version is called.
    pub message: String,
    /// What a version is called that keeps files which nobody had saved, where these changes make one
    /// first; `None` for the usual name.
    pub unsaved_message: Option<&'static str>,
    /// The version that the changes were made from, if they took a while: other versions that came
    /// in between are merged.
    pub base: Option<Base>,
    /// Whether files that somebody else changed in the project become a version even if nothing
    /// else does.
    pub keep_unsaved: bool,
}

/// The newest version when somebody began to work on a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Base(pub(super) Option<Oid>);

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Create,
    /// It has new content.
    Update,
    /// It is gone.
    Delete,
}

/// A file that was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct SavedFile {
    /// Where it is.
    pub path: String,
    /// What happened to it.
    pub action: Action,
    /// Its size now, in bytes.
    pub size: u64,
}

impl SavedFile {
    pub(super) fn new(path: &ProjectPath, action: Action, size: u64) -> Self {
        Self { path: path.as_str().to_owned(), action, size }
    }

    pub(super) fn state(action: Action, size: u64) -> Self {
        Self { path: STYLE_STATE_FILE.to_owned(), action, size }
    }
}

/// A finished save.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// Every file that changed, by path.
    pub files: Vec<SavedFile>,
    /// The newest version's abbreviated hash; `None` for a project that has none.
    pub version: Option<String>,
    /// Whether this call made a version.
    pub is_new: bool,
    /// What happened to versions that others saved meanwhile.
    pub merged: Option<Merged>,
}

/// Somebody else saved between [`Changes::base`] and the save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Files that both changed: the later save's content stands, the other is in the history.
    pub both: Vec<ProjectPath>,
}
