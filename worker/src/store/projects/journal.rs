//! The journal: a save writes it before it changes a file of the project, and after a kill it is
//! used to finish the save.
//!
//! A save first stores everything: the objects of the version, the new content in the staging
//! folder, the version's own reference and the journal. Only when all of that is on the disk, it
//! moves files into place, and then HEAD. So if there is a journal, the save can be finished, and
//! if there is none, no file was changed.

use std::io::Read as _;

use git2::{Oid, Repository};
use serde::{Deserialize, Serialize};

use super::changes::StateChange;
use super::git::{self, OwnRef, VERSIONS};
use super::snapshot::Snapshot;
use super::writer::{Staging, Writer};
use super::{Project, ProjectError, import};
use crate::safe_fs::{Dir, FileError, Kind, WriteOptions};
use crate::store::volume::DRAFT;
use crate::types::STYLE_STATE_FILE;

const NAME: &str = "journal";
/// The largest journal that is read, in bytes. Those of this worker are smaller.
const MAX_BYTES: u64 = 4096;
/// The new content of the relay's hidden state file.
const STATE: &str = "state";
/// The old content of the relay's hidden state file.
const STATE_OLD: &str = "state-old";
/// A file that says that the hidden state file gets new content.
const STATE_NEW: &str = "state-new";
/// A file that says that the hidden state file is removed.
const STATE_GONE: &str = "state-gone";

/// The journal of one save.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    /// The version that the save makes.
    pub(super) version: String,
    /// The version of the files before the save. It is not yet in the history if the save has made
    /// it of unsaved files.
    pub(super) before: Option<String>,
    /// The version at HEAD before the save.
    pub(super) head: Option<String>,
}

impl Journal {
    /// Writes the journal into a staging folder.
    pub(super) fn write(&self, staging: &Dir) -> Result<(), ProjectError> {
        let text = serde_json::to_vec(self).map_err(std::io::Error::from)?;
        let options = WriteOptions::default();
        Ok(staging.write_new(NAME, options, |file| std::io::Write::write_all(file, &text))?)
    }

    fn read(staging: &Dir) -> Result<Option<Self>, ProjectError> {
        let file = match staging.file(NAME) {
            Ok((file, _)) => file,
            Err(FileError::NotFound | FileError::NotRegular) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut text = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text).ok())
    }
}

/// Stores the change of the hidden state file, and its old content, in the staging folder.
pub(super) fn stage_state(
    project: &Dir,
    staging: &Dir,
    change: &StateChange,
) -> Result<(), ProjectError> {
    match project.file(STYLE_STATE_FILE) {
        Ok((mut old, _)) => {
            let options = WriteOptions::default();
            staging.write_new(STATE_OLD, options, |file| std::io::copy(&mut old, file))?;
        }
        Err(FileError::NotFound | FileError::NotRegular) => {}
        Err(error) => return Err(error.into()),
    }
    let (name, content): (_, &[u8]) = match change {
        StateChange::Write(content) => (STATE, content),
        StateChange::Remove => (STATE_GONE, &[]),
    };
    let options = WriteOptions::default();
    staging.write_new(STATE_NEW, options, |_| Ok(()))?;
    Ok(staging.write_new(name, options, |file| std::io::Write::write_all(file, content))?)
}

/// Carries the change of the hidden state file out. Doing so twice has the same result.
pub(super) fn apply_state(project: &Dir, staging: &Dir) -> Result<(), ProjectError> {
    match staging.rename_to(STATE, project, STYLE_STATE_FILE) {
        Ok(()) | Err(FileError::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    match staging.status(STATE_GONE) {
        Ok(_) => Ok(project.remove_file(STYLE_STATE_FILE)?),
        Err(FileError::NotFound) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Restores the hidden state file after an error. Does nothing if there was no change.
pub(super) fn undo_state(project: &Dir, staging: &Dir) -> Result<(), ProjectError> {
    let is_there = |name: &str| staging.status(name).is_ok();
    if is_there(STATE_OLD) {
        Ok(staging.rename_to(STATE_OLD, project, STYLE_STATE_FILE)?)
    } else if is_there(STATE_NEW) && !is_there(STATE) {
        Ok(project.remove_file(STYLE_STATE_FILE)?)
    } else {
        Ok(())
    }
}

/// Finishes saves that were killed, or removes what they have left.
pub(super) fn finish(project: &Project, writer: &Writer<'_>) -> Result<(), ProjectError> {
    let Some(left_behind) = writer.left_behind()? else {
        return Ok(());
    };
    if left_behind.is_empty() {
        return writer.clear_except(&[]);
    }
    tracing::warn!(saves = left_behind.len(), "a save was killed; the project is being mended");
    for staging in &left_behind {
        import::recover(project, staging)?;
    }
    sweep(project, false)?;
    let mut has_journal = false;
    let mut kept = Vec::new();
    for staging in &left_behind {
        let outcome = match Journal::read(&staging.dir)? {
            Some(journal) => finish_one(project, writer, staging, &journal)?,
            None => Outcome::NotWhole(None),
        };
        has_journal |= matches!(outcome, Outcome::Finished);
        if let Outcome::NotWhole(promised) = outcome {
            // Another container may be making it, and its other files are still to arrive.
            if project.pass.is_shared() && staging.is_young() {
                kept.push(staging);
            } else if let Some((repository, own)) = promised {
                own.remove(&repository)?;
            }
        }
    }
    if kept.len() == left_behind.len() {
        return writer.clear_except(&kept);
    }
    // If there is no journal, no file was moved.
    if has_journal && let Some(repository) = git::open_in_turn(project, writer)? {
        Snapshot::take(project, &repository)?.write_index()?;
    }
    project.dir().sync_file_system()?;
    project.pass.changed();
    writer.clear_except(&kept)
}

/// What became of a save that was found.
enum Outcome {
    /// It is finished.
    Finished,
    /// Not everything that it needs is there, perhaps its reference and the repository of that.
    NotWhole(Option<(Repository, OwnRef)>),
}

fn finish_one(
    project: &Project,
    writer: &Writer<'_>,
    staging: &Staging,
    journal: &Journal,
) -> Result<Outcome, ProjectError> {
    let repository = git::open_to_write(project, writer, staging)?;
    let id = |text: &Option<String>| text.as_deref().map(Oid::from_str).transpose();
    let (Ok(before), Ok(head), Ok(version)) =
        (id(&journal.before), id(&journal.head), Oid::from_str(&journal.version))
    else {
        // No worker of this version wrote it.
        return Ok(Outcome::NotWhole(None));
    };
    let name = format!("{VERSIONS}{}", staging.id);
    let own = OwnRef { name, id: version };
    let promised = git::list(&repository, VERSIONS)?.contains(&own);
    if !promised || !is_whole(&repository, before, version) {
        // The save was killed before everything was on the disk, so before it changed a file.
        return Ok(Outcome::NotWhole(Some((repository, own))));
    }
    let now = git::head(&repository)?;
    let moved =
        now.is_some_and(|now| now == version || git::is_ancestor(&repository, version, now));
    if moved {
        return Ok(Outcome::Finished);
    }
    project.settle(&repository, staging, before, Some(version))?;
    apply_state(project.dir(), &staging.dir)?;
    // If another container has moved HEAD, the next save makes this version a parent.
    if now == head {
        project.dir().sync_file_system()?;
        git::hold_head(project, &repository)?.move_to(version)?;
    }
    Ok(Outcome::Finished)
}

/// Whether every object that is new in `version` can be read.
fn is_whole(repository: &Repository, before: Option<Oid>, version: Oid) -> bool {
    let check = || -> Result<(), ProjectError> {
        let old = before.map(|id| git::tree_of(repository, id)).transpose()?;
        let new = git::tree_of(repository, version)?;
        for one in super::place::differing(repository, old.as_ref(), Some(&new))? {
            if let Some(id) = one.new {
                repository.find_blob(id)?;
            }
        }
        Ok(())
    };
    check().is_ok()
}

/// Removes temporary files that a save has left in `.git` because it was killed or could not remove
/// them. After a save that succeeded, only locks of references can be left.
pub(super) fn sweep(project: &Project, is_saved: bool) -> Result<(), ProjectError> {
    // The repository of another program contains no files of this worker, and may have any size and
    // depth.
    if !git::is_own(project)? {
        return Ok(());
    }
    let Ok(git) = project.dir().folder(".git") else {
        return Ok(());
    };
    // Objects and packs are written under a temporary name and then renamed.
    if let Ok(objects) = git.folder("objects") {
        // Names of two letters are the folders of objects.
        remove_files(&objects, |name| name.len() > 2 && !["pack", "info"].contains(&name))?;
        if let Ok(packs) = objects.folder("pack") {
            let kept = [".pack", ".idx", ".rev", ".keep", ".bitmap"];
            remove_files(&packs, |name| !kept.iter().any(|end| name.ends_with(end)))?;
        }
    }
    // An unfinished archive of an imported repository.
    if let Ok(kept) = git.folder(import::KEPT) {
        remove_files(&kept, is_temporary)?;
    }
    if is_saved {
        if let Ok(versions) = git.folder(VERSIONS.trim_end_matches('/')) {
            remove_files(&versions, is_lock)?;
        }
    } else if let Ok(refs) = git.folder("refs") {
        remove_locks(&refs)?;
    }
    // A temporary file of the list of excluded files in `info`.
    if !is_saved && let Ok(info) = git.folder("info") {
        remove_files(&info, is_temporary)?;
    }
    remove_files(&git, |name| is_lock(name) || is_temporary(name))
}

fn is_temporary(name: &str) -> bool {
    name.starts_with(DRAFT)
}

fn is_lock(name: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|end| end == "lock")
}

fn remove_files(folder: &Dir, which: impl Fn(&str) -> bool) -> Result<(), ProjectError> {
    for entry in folder.entries()? {
        let Some(name) = entry.name_str().filter(|name| which(name)) else { continue };
        // An object that is being finished has two names for a moment.
        if folder.status(name).is_ok_and(|stat| Kind::of(&stat) == Kind::File) {
            folder.remove_file(name)?;
        }
    }
    Ok(())
}

fn remove_locks(refs: &Dir) -> Result<(), ProjectError> {
    remove_files(refs, is_lock)?;
    for entry in refs.entries()? {
        if let Ok(inner) = refs.folder(entry.name()) {
            remove_locks(&inner)?;
        }
    }
    Ok(())
}
