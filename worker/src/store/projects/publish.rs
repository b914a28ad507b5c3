//! Saves a project: new content becomes a version and a part of the project.
//!
//! Everything that can fail for lack of space or rights is done beside the project first: the save
//! writes content to a hidden staging folder, stores the version's objects, its reference and a
//! journal, and syncs them. Only then it renames files into place and moves HEAD. An error before
//! that leaves nothing behind, an error during it is undone, and after a kill the next request that
//! opens the project finishes the save.

use std::collections::{BTreeMap, BTreeSet};

use git2::{ErrorClass, Oid, Repository};

use super::changes::{Action, Changes, Merged, Published, SavedFile, StateChange};
use super::git::{self, OwnRef, VERSIONS};
use super::journal::{self, Journal};
use super::snapshot::{self, Snapshot};
use super::stage::Staged;
use super::writer::{Staging, Writer};
use super::{Project, ProjectError, ProjectKey, Projects, place, upkeep};
use crate::safe_fs::{Dir, FileError, empty};
use crate::store::volume::{Activity, Location, Pass};
use crate::types::{ProjectPath, STYLE_STATE_FILE};

/// The name of a file in the staging folder that is made and removed to check that there is space.
const RESERVE: &str = "reserve";
/// The space for the folders and the reference that a save makes last, in bytes.
const RESERVE_BYTES: i64 = 256 * 1024;
/// If a file system has more free bytes and files than this, space is not checked.
const PLENTY: u64 = 64 << 20;
const PLENTY_FILES: u64 = 10_000;
/// The message of the version that keeps files that no version had when others were saved.
const UNSAVED: &str = "保存されていなかった変更";
/// The message of the first version of files that had no history.
const FIRST: &str = "最初のバージョン";

/// Why a save failed, and whether the project is as before.
struct Failed {
    error: ProjectError,
    is_undone: bool,
}

impl<E: Into<ProjectError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { error: error.into(), is_undone: true }
    }
}

/// The version that a save is about to make, and the versions before it.
struct Upcoming {
    id: Oid,
    /// The version of the files before the save.
    before: Option<Oid>,
    /// The version at HEAD.
    head: Option<Oid>,
}

impl Projects {
    /// Saves `changes` as one version. A project that does not exist is made, and removed again if
    /// the save fails. If nothing changes, no version is made. Blocks.
    pub fn publish(
        &self,
        key: ProjectKey,
        changes: &Changes<'_>,
    ) -> Result<Published, ProjectError> {
        self.publish_as(key, changes, &self.volume.enter(Activity::Save))
    }

    /// The same as a part of an activity that is in flight already.
    pub(super) fn publish_as(
        &self,
        key: ProjectKey,
        changes: &Changes<'_>,
        pass: &Pass,
    ) -> Result<Published, ProjectError> {
        let existing = match self.open_as(key, pass.clone()) {
            Ok(project) => Some(project),
            Err(ProjectError::NotFound) => None,
            Err(error) => return Err(error),
        };
        if changes.write.is_empty() && !matches!(changes.state, Some(StateChange::Write(_))) {
            // Without changes no project is made.
            let Some(project) = &existing else {
                return Ok(Published::default());
            };
            if changes.remove.is_empty() && changes.state.is_none() && !changes.keep_unsaved {
                return project.unchanged();
            }
        }
        let existed = existing.is_some();
        let project = existing.map_or_else(|| self.open_or_create(key, pass.clone()), Ok)?;
        let result = project.save(changes);
        if result.is_err() && !existed {
            self.take_back(key, pass);
        }
        if result.as_ref().is_ok_and(|saved| saved.is_new || !saved.files.is_empty()) {
            pass.changed();
        }
        result
    }

    /// Removes a project that a failed first save has left.
    pub(super) fn take_back(&self, key: ProjectKey, pass: &Pass) {
        let removed = self.open_as(key, pass.clone()).and_then(|project| Ok(empty(project.dir())?));
        if let Err(error) = removed {
            tracing::warn!(%error, "a project that could not be saved was left half-made");
            return;
        }
        let parent = self.volume.open(Location::Projects(key.user));
        // If the empty folder cannot be removed, it is a project without files, which does no harm.
        drop(parent.and_then(|parent| parent.remove_empty_folder(key.project.to_string())));
    }
}

impl Project {
    fn unchanged(&self) -> Result<Published, ProjectError> {
        let version = match git::open(self)? {
            Some(repository) => newest(&repository)?,
            None => None,
        };
        Ok(Published { version, ..Published::default() })
    }

    pub(super) fn save(&self, changes: &Changes<'_>) -> Result<Published, ProjectError> {
        let writer = Writer::wait(self)?;
        journal::finish(self, &writer)?;
        let result = self.save_once(&writer, changes);
        match &result {
            // The index refers to objects that do not exist. Without the index, all files are read
            // again.
            Err(ProjectError::Git(error)) if error.class() == ErrorClass::Index => {
                snapshot::forget_index(self)?;
                self.save_once(&writer, changes)
            }
            _ => result,
        }
    }

    fn save_once(
        &self,
        writer: &Writer<'_>,
        changes: &Changes<'_>,
    ) -> Result<Published, ProjectError> {
        let staging = writer.stage()?;
        let result = self.save_in(writer, &staging, changes);
        // A save that could not be undone is finished by the next request that opens the project.
        let is_saved = result.is_ok();
        if let Err(error) = journal::sweep(self, is_saved) {
            tracing::warn!(%error, "temporary files of git may have been left behind");
        }
        let is_settled = result.as_ref().err().is_none_or(|failed| failed.is_undone);
        if is_settled && let Err(error) = writer.clear(&staging) {
            tracing::warn!(%error, "a staging folder was left behind");
        }
        result.map_err(|failed| failed.error)
    }

    fn save_in(
        &self,
        writer: &Writer<'_>,
        staging: &Staging,
        changes: &Changes<'_>,
    ) -> Result<Published, Failed> {
        let mut files = Vec::new();
        if let Some(state) = &changes.state {
            files.extend(self.saved_state(state)?);
            journal::stage_state(self.dir(), &staging.dir, state)?;
        }
        if changes.write.is_empty() && changes.remove.is_empty() && !changes.keep_unsaved {
            self.dir().sync_file_system()?;
            journal::apply_state(self.dir(), &staging.dir)?;
            self.dir().sync_file_system()?;
            let version = self.unchanged()?.version;
            return Ok(Published { files, version, ..Published::default() });
        }

        // The first part: everything is stored beside the project.
        let repository = git::open_to_write(self, writer, staging)?;
        let head = git::head(&repository)?;
        let saved_tree = head.map(|id| git::tree_of(&repository, id)).transpose()?;
        let mut snapshot = Snapshot::take(self, &repository)?;
        snapshot.check_objects(&repository)?;
        let found = snapshot.write_tree(&repository)?;
        let is_unsaved = match &saved_tree {
            Some(tree) => tree.id() != found,
            None => !snapshot.is_empty(),
        };
        let merged = merged(&repository, changes, head, found)?;

        let staged = self.stage(&staging.dir, &repository, &snapshot, changes)?;
        let mut removed = Vec::new();
        for path in &changes.remove {
            if snapshot.get(path).is_some() {
                snapshot.remove(path)?;
                removed.push(path);
            }
        }
        for (path, file) in &staged {
            snapshot.set(path, &file.stat, file.id)?;
        }
        snapshot.check(self.limits())?;
        let tree = snapshot.write_tree(&repository)?;
        let is_changed = tree != found;
        let is_new = is_changed || (changes.keep_unsaved && is_unsaved);
        if !is_new {
            if snapshot.is_news() {
                snapshot.write_index_or_warn();
            }
            journal::apply_state(self.dir(), &staging.dir)?;
            self.dir().sync_file_system()?;
            let version = newest(&repository)?;
            return Ok(Published { files, version, is_new: false, merged });
        }

        let mut parents: Vec<Oid> = head.into_iter().collect();
        let standing = git::Standing::of(&repository, head, &[])?;
        parents.extend(&standing.strays);
        let mut before = head;
        if is_unsaved {
            let message = match (is_changed, head) {
                (false, _) => changes.message.as_str(),
                (true, None) => FIRST,
                (true, Some(_)) => changes.unsaved_message.unwrap_or(UNSAVED),
            };
            let unsaved =
                git::commit(&repository, message, &repository.find_tree(found)?, &parents)?;
            before = Some(unsaved);
            parents = vec![unsaved];
        }
        let id = match before.filter(|_| !is_changed) {
            Some(unsaved) => unsaved,
            None => {
                let tree = repository.find_tree(tree)?;
                git::commit(&repository, &changes.message, &tree, &parents)?
            }
        };
        let upcoming = Upcoming { id, before, head };

        self.check_ways(staged.keys(), &removed.iter().map(|path| path.as_str()).collect())?;
        check_space(&staging.dir)?;
        let own = self.promise(&repository, staging, &upcoming)?;

        // The second part: files are moved into the project.
        let moved = self.carry_out(writer, staging, &repository, &upcoming, &removed, &staged);
        let moved = match moved {
            Ok(moved) => moved,
            Err(error) => {
                let is_undone = self.undo(writer, staging, &repository, &upcoming, &own);
                return Err(Failed { error, is_undone });
            }
        };
        files.extend(moved);
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        for (path, file) in &staged {
            // Moving a file changes one of its times. What took its place since has another content:
            // the index keeps what it knows of ours, and the next save reads the other one.
            let stat = self.dir().status_beneath(path.as_str());
            if let Some(stat) = stat.ok().filter(|stat| file.is_the_one(stat)) {
                snapshot.set(path, &stat, file.id)?;
            }
        }
        snapshot.write_index_or_warn();
        upkeep::after_save(self, &repository, &standing);
        let version = Some(git::short_id(&repository, upcoming.id)?);
        Ok(Published { files, version, is_new: true, merged })
    }

    /// The entry of the hidden state file in the result.
    fn saved_state(&self, change: &StateChange) -> Result<Option<SavedFile>, ProjectError> {
        let there = match self.dir().status(STYLE_STATE_FILE) {
            Ok(_) => true,
            Err(FileError::NotFound) => false,
            Err(error) => return Err(error.into()),
        };
        Ok(match change {
            StateChange::Write(content) => {
                let action = if there { Action::Update } else { Action::Create };
                Some(SavedFile::state(action, content.len() as u64))
            }
            StateChange::Remove => there.then(|| SavedFile::state(Action::Delete, 0)),
        })
    }

    /// Writes the version's reference and the journal, and syncs everything that the save needs.
    fn promise(
        &self,
        repository: &Repository,
        staging: &Staging,
        upcoming: &Upcoming,
    ) -> Result<OwnRef, ProjectError> {
        let text = |id: Option<Oid>| id.map(|id| id.to_string());
        let journal = Journal {
            version: upcoming.id.to_string(),
            before: text(upcoming.before),
            head: text(upcoming.head),
        };
        journal.write(&staging.dir)?;
        let own = OwnRef::write(repository, VERSIONS, &staging.id, upcoming.id)?;
        match self.dir().sync_file_system() {
            Ok(()) => Ok(own),
            Err(error) => {
                own.remove(repository)?;
                Err(error.into())
            }
        }
    }

    fn carry_out(
        &self,
        writer: &Writer<'_>,
        staging: &Staging,
        repository: &Repository,
        upcoming: &Upcoming,
        removed: &[&ProjectPath],
        staged: &BTreeMap<ProjectPath, Staged>,
    ) -> Result<Vec<SavedFile>, ProjectError> {
        let held = git::hold_head(self, repository)?;
        writer.begin_moving()?;
        let mut files = Vec::new();
        for path in removed {
            if self.take_out(path)? {
                files.push(SavedFile::new(path, Action::Delete, 0));
            }
        }
        for (path, file) in staged {
            let action = self.put_in_place(&staging.dir, &file.name, path)?;
            files.push(SavedFile::new(path, action, file.size));
        }
        journal::apply_state(self.dir(), &staging.dir)?;
        held.move_to(upcoming.id)?;
        self.dir().sync_file_system()?;
        // From here on the version is saved.
        if let Err(error) = writer.end_moving() {
            tracing::warn!(%error, "the next one who opens the project has to tidy up");
        }
        Ok(files)
    }

    /// Restores the project after an error in the second part. Returns whether that succeeded.
    fn undo(
        &self,
        writer: &Writer<'_>,
        staging: &Staging,
        repository: &Repository,
        upcoming: &Upcoming,
        own: &OwnRef,
    ) -> bool {
        let undo = || -> Result<(), ProjectError> {
            if git::head(repository)? == Some(upcoming.id) {
                git::move_head_back(self, repository, upcoming.head)?;
            }
            self.settle(repository, staging, Some(upcoming.id), upcoming.before)?;
            journal::undo_state(self.dir(), &staging.dir)?;
            own.remove(repository)?;
            writer.end_moving()
        };
        undo().map_err(|error| tracing::error!(%error, "a save could not be undone")).is_ok()
    }
}

/// Checks that there is space for the folders and the branch, which need a little space after the
/// content was stored.
fn check_space(staging: &Dir) -> Result<(), FileError> {
    let has_plenty = staging.space().is_ok_and(|space| {
        let files = space.total_files == 0 || space.free_files > PLENTY_FILES;
        space.free > PLENTY && files
    });
    if has_plenty {
        return Ok(());
    }
    staging.reserve(RESERVE, RESERVE_BYTES)?;
    staging.remove_file(RESERVE)
}

fn newest(repository: &Repository) -> Result<Option<String>, ProjectError> {
    let head = git::head(repository)?;
    Ok(head.map(|id| git::short_id(repository, id)).transpose()?)
}

/// What other saves have changed since the work on these changes began.
fn merged(
    repository: &Repository,
    changes: &Changes<'_>,
    head: Option<Oid>,
    found: Oid,
) -> Result<Option<Merged>, ProjectError> {
    let Some(base) = changes.base.map(|base| base.0).filter(|base| *base != head) else {
        return Ok(None);
    };
    let base = base.map(|id| git::tree_of(repository, id)).transpose()?;
    let found = repository.find_tree(found)?;
    let ours: BTreeSet<&ProjectPath> = changes.write.keys().chain(&changes.remove).collect();
    let both = place::differing(repository, base.as_ref(), Some(&found))?
        .into_iter()
        .map(|one| one.path)
        .filter(|path| ours.contains(path));
    Ok(Some(Merged { both: both.collect() }))
}
