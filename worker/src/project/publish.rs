//! Saving: new content becomes part of the project and a version.
//!
//! Everything that can fail for want of space or rights is done beside the project first: content
//! is written and synced in a hidden staging folder, and the version's objects are stored. Only
//! then are files renamed into place and HEAD moved.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use git2::Oid;
use serde::Serialize;

use super::snapshot::{self, Snapshot};
use super::{Project, ProjectError, ProjectKey, Volume, git};
use crate::safe_fs::{Dir, FileError, Kind, WriteOptions, empty};
use crate::types::ProjectPath;

/// Prefix of staging folders; hidden, so nobody is served half a save.
const STAGING_PREFIX: &str = ".dreamcore-tmp-";
/// A file in the staging folder that is made and removed to see whether there is room.
const RESERVE: &str = "reserve";
/// Room for the folders and the reference that a save makes last.
const RESERVE_BYTES: i64 = 256 * 1024;

/// What is to be saved.
#[derive(Debug)]
pub struct Changes<'a> {
    /// The folder that holds the new content, by the same paths.
    pub source: &'a Dir,
    /// Files to create or replace.
    pub write: Vec<ProjectPath>,
    /// Files to remove; those that are not there are no error.
    pub remove: Vec<ProjectPath>,
    /// What the version is called.
    pub message: String,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SavedFile {
    /// Where it is.
    pub path: ProjectPath,
    /// What happened to it.
    pub action: Action,
    /// Its size now, in bytes.
    pub size: u64,
}

/// A finished save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Every file that changed, by path.
    pub files: Vec<SavedFile>,
    /// The newest version's abbreviated hash; `None` for a project that has none.
    pub version: Option<String>,
}

/// A file that waits in the staging folder.
struct Staged {
    name: String,
    id: Oid,
    size: u64,
}

impl Volume {
    /// Saves `changes` as one version. A project that does not exist is made; one that was made
    /// and could not be saved is taken away again. Without a change there is no version. Blocking.
    pub fn publish(
        &self,
        key: ProjectKey,
        changes: &Changes<'_>,
    ) -> Result<Published, ProjectError> {
        if changes.write.is_empty() && changes.remove.is_empty() {
            return self.unchanged(key);
        }
        let existed = match self.open(key) {
            Ok(_) => true,
            Err(ProjectError::NotFound) => false,
            Err(error) => return Err(error),
        };
        let project = self.open_or_create(key)?;
        let result = project.save(changes);
        if result.is_err() && !existed {
            self.take_back(key);
        }
        result
    }

    fn unchanged(&self, key: ProjectKey) -> Result<Published, ProjectError> {
        let version = match self.open(key) {
            Ok(project) => project.newest_version()?,
            Err(ProjectError::NotFound) => None,
            Err(error) => return Err(error),
        };
        Ok(Published { files: Vec::new(), version })
    }

    /// Removes a project that a failed first save leaves behind.
    fn take_back(&self, key: ProjectKey) {
        let removed = self.open(key).and_then(|project| Ok(empty(project.dir())?));
        if let Err(error) = removed {
            tracing::warn!(%error, "a project that could not be saved was left half-made");
            return;
        }
        let [users, user, projects, project] = key.folders();
        let parent = Dir::open_root(&self.0)
            .map_err(FileError::from)
            .and_then(|root| root.folder(users)?.folder(user)?.folder(projects));
        // An empty folder that stays is a project without files: harmless.
        drop(parent.and_then(|parent| parent.remove_empty_folder(project)));
    }
}

impl Project {
    fn newest_version(&self) -> Result<Option<String>, ProjectError> {
        let Some(repository) = git::open(self)? else {
            return Ok(None);
        };
        let head = git::head(&repository)?;
        Ok(head.map(|id| git::short_id(&repository, id)).transpose()?)
    }

    fn save(&self, changes: &Changes<'_>) -> Result<Published, ProjectError> {
        let name = format!("{STAGING_PREFIX}{}", uuid::Uuid::new_v4().simple());
        let staging = self.dir().make_folder(&name)?;
        let result = self.save_by(&staging, changes);
        // Hidden and removed by the next one if it cannot be removed now.
        let removed = empty(&staging).and_then(|()| {
            self.dir().remove_empty_folder(&name).map(drop).map_err(io::Error::other)
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "a staging folder was left behind");
        }
        result
    }

    fn save_by(&self, staging: &Dir, changes: &Changes<'_>) -> Result<Published, ProjectError> {
        let (repository, _) = git::open_or_init(self)?;
        let mut snapshot = Snapshot::take(self, &repository)?;

        // Beside the project.
        let staged = stage(staging, &repository, changes)?;
        for path in &changes.remove {
            snapshot.remove(path);
        }
        for (path, file) in &staged {
            let (_, stat) = staging.file(&file.name)?;
            snapshot.set(path, &stat, file.id);
        }
        let tree = repository.find_tree(snapshot.write_tree(&repository)?)?;
        let parent = git::head(&repository)?.map(|id| repository.find_commit(id)).transpose()?;
        let commit = match &parent {
            Some(parent) if parent.tree_id() == tree.id() => None,
            _ => {
                let author = git::author()?;
                let parents: Vec<_> = parent.iter().collect();
                let message = changes.message.as_str();
                Some(repository.commit(None, &author, &author, message, &tree, &parents)?)
            }
        };

        self.check_ways(changes)?;
        let held = commit.map(|_| git::hold_head(self, &repository)).transpose()?;
        // Folders and the branch need a little space too; this much was free a moment ago.
        staging.reserve(RESERVE, RESERVE_BYTES)?;
        staging.remove_file(RESERVE)?;

        // Into the project.
        let mut files = Vec::new();
        for path in &changes.remove {
            files.extend(self.remove_file(path)?);
        }
        for (path, file) in staged {
            files.push(self.put_in_place(staging, &path, &file)?);
            let (_, stat) = self.dir().file(path.as_str())?;
            snapshot.set(&path, &stat, file.id);
        }
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        if let (Some(commit), Some(held)) = (commit, held) {
            held.move_to(commit)?;
        }
        if let Err(error) = snapshot.write_index(&repository) {
            tracing::warn!(%error, "git's index could not be written");
        }
        let head = commit.or(parent.map(|parent| parent.id()));
        let version = head.map(|id| git::short_id(&repository, id)).transpose()?;
        Ok(Published { files, version })
    }

    fn remove_file(&self, path: &ProjectPath) -> Result<Option<SavedFile>, ProjectError> {
        match self.dir().file(path.as_str()) {
            Ok(_) => {}
            Err(FileError::NotFound | FileError::NotRegular) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let (folder, name) = self.dir().parent_of(path.as_str(), false)?;
        folder.remove_file(&name)?;
        folder.sync()?;
        self.remove_empty_parents(path)?;
        Ok(Some(SavedFile { path: path.clone(), action: Action::Delete, size: 0 }))
    }

    /// Git knows no empty folders, so neither does a project.
    fn remove_empty_parents(&self, path: &ProjectPath) -> Result<(), ProjectError> {
        let mut inner = path.as_str();
        while let Some((outer, _)) = inner.rsplit_once('/') {
            let (folder, name) = self.dir().parent_of(outer, false)?;
            if !folder.remove_empty_folder(&name)? {
                break;
            }
            inner = outer;
        }
        Ok(())
    }

    /// Checks that nothing will be in the way of what is put in place: files that the agent never
    /// saw, hidden ones and links, stay where they are, and a folder that holds them does too.
    fn check_ways(&self, changes: &Changes<'_>) -> Result<(), ProjectError> {
        let removed: BTreeSet<&str> = changes.remove.iter().map(ProjectPath::as_str).collect();
        for path in &changes.write {
            let in_the_way = |place: &str| {
                Err(ProjectError::Unusable(format!("{place} is in the way of {path}")))
            };
            let mut here = self.dir().try_clone()?;
            let mut place = String::new();
            let mut parts = path.parts().peekable();
            while let Some(part) = parts.next() {
                place.push_str(part);
                let kind = match here.status(part) {
                    Ok(stat) => Kind::of(&stat),
                    Err(FileError::NotFound) => break,
                    Err(error) => return Err(error.into()),
                };
                let last = parts.peek().is_none();
                match kind {
                    Kind::Folder if !last => here = here.folder(part)?,
                    Kind::Folder if vanishes(&here.folder(part)?, &place, &removed)? => {}
                    Kind::File if last || removed.contains(place.as_str()) => break,
                    Kind::Symlink | Kind::Special if last => {}
                    _ => return in_the_way(&place),
                }
                place.push('/');
            }
        }
        Ok(())
    }

    fn put_in_place(
        &self,
        staging: &Dir,
        path: &ProjectPath,
        file: &Staged,
    ) -> Result<SavedFile, ProjectError> {
        let (folder, name) = self.dir().parent_of(path.as_str(), true)?;
        let action = match folder.status(&name) {
            Err(FileError::NotFound) => Action::Create,
            // Only an empty one; git knows none, and the agent did not see it.
            Ok(stat) if Kind::of(&stat) == Kind::Folder => {
                folder.remove_empty_folder(&name)?;
                Action::Create
            }
            Ok(_) => Action::Update,
            Err(error) => return Err(error.into()),
        };
        staging.rename_to(&file.name, &folder, &name)?;
        folder.sync()?;
        Ok(SavedFile { path: path.clone(), action, size: file.size })
    }
}

/// Whether a folder goes away when these files are removed from it, or is empty already.
fn vanishes(folder: &Dir, place: &str, removed: &BTreeSet<&str>) -> Result<bool, ProjectError> {
    for entry in folder.entries()? {
        let Some(name) = entry.name_str() else {
            return Ok(false);
        };
        let place = format!("{place}/{name}");
        // As deep as a path can be, so recursion is bounded.
        if place.parse::<ProjectPath>().is_err() {
            return Ok(false);
        }
        let goes = match Kind::of(&folder.status(name)?) {
            Kind::File => removed.contains(place.as_str()),
            Kind::Folder => {
                let inner = folder.folder(name)?;
                // One that is empty before anything is removed from it stays.
                !inner.entries()?.is_empty() && vanishes(&inner, &place, removed)?
            }
            Kind::Symlink | Kind::Special => false,
        };
        if !goes {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Copies new content into the staging folder and stores it in the repository.
fn stage(
    staging: &Dir,
    repository: &git2::Repository,
    changes: &Changes<'_>,
) -> Result<BTreeMap<ProjectPath, Staged>, ProjectError> {
    let mut staged = BTreeMap::new();
    for (number, path) in changes.write.iter().enumerate() {
        let (mut source, _) = changes.source.file(path.as_str())?;
        let name = number.to_string();
        let options = WriteOptions { sync: true, owner: None };
        let size = staging.write_new(&name, options, |to| io::copy(&mut source, to))?;
        let (content, _) = staging.file(&name)?;
        let id = snapshot::store(repository, content, size)?;
        staged.insert(path.clone(), Staged { name, id, size });
    }
    Ok(staged)
}
