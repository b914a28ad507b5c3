//! The changes that a save makes, and its result.

use std::collections::{BTreeMap, BTreeSet};

use git2::Oid;
use serde::Serialize;

use crate::safe_fs::Dir;
use crate::types::{ProjectPath, STYLE_STATE_FILE};

/// The source of a file's content.
#[derive(Debug, Clone)]
pub enum Source<'a> {
    /// The file with the same path below this folder.
    File(&'a Dir),
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// Content that the project's history has.
    Stored(StoredContent),
}

/// Content that is already in the project's history.
#[derive(Debug, Clone, Copy)]
pub struct StoredContent(pub(super) Oid);

/// The change of the relay's hidden state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    /// The file gets this content.
    Write(Vec<u8>),
    /// The file is removed.
    Remove,
}

/// The changes of one save.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// Files to create or replace.
    pub write: BTreeMap<ProjectPath, Source<'a>>,
    /// Files to remove. One that does not exist is not an error.
    pub remove: BTreeSet<ProjectPath>,
    /// The change of the relay's hidden state file, which is not part of any version.
    pub state: Option<StateChange>,
    /// The message of the version.
    pub message: String,
    /// The message of the version that first keeps files which no version has. `None` for the usual
    /// message.
    pub unsaved_message: Option<&'static str>,
    /// The newest version when the work on the changes began, if that took a while. Versions that
    /// were saved since are merged.
    pub base: Option<Base>,
    /// Whether files that another program has changed become a version even if there are no other
    /// changes.
    pub keep_unsaved: bool,
}

/// The newest version when the work on a copy of the project began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Base(pub(super) Option<Oid>);

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The file is new.
    Create,
    /// The file has new content.
    Update,
    /// The file was removed.
    Delete,
}

/// A file that was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct SavedFile {
    /// The path of the file.
    pub path: String,
    /// What happened to the file.
    pub action: Action,
    /// The new size in bytes; 0 if the file was removed.
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

/// The result of a save.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// Every file that changed, by path.
    pub files: Vec<SavedFile>,
    /// The abbreviated hash of the newest version. `None` for a project without versions.
    pub version: Option<String>,
    /// Whether this save made a version.
    pub is_new: bool,
    /// What was merged, if other versions were saved in the meantime.
    pub merged: Option<Merged>,
}

/// Other saves that took place between [`Changes::base`] and this save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The files that both have changed. They have the content of the later save; the other content
    /// is in the history.
    pub both: Vec<ProjectPath>,
}
