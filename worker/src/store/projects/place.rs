//! Moves files into a project and removes files from it.

use std::collections::BTreeSet;

use git2::{Delta, DiffDelta, DiffOptions, ObjectType, Oid, Repository, Tree};

use super::changes::Action;
use super::writer::Staging;
use super::{Project, ProjectError};
use crate::safe_fs::{Dir, FileError, Kind, WriteOptions};
use crate::types::ProjectPath;

impl Project {
    /// Removes a file. Returns whether it existed.
    pub(super) fn take_out(&self, path: &ProjectPath) -> Result<bool, ProjectError> {
        match self.dir().file(path.as_str()) {
            Ok(_) => {}
            Err(FileError::NotFound | FileError::NotRegular) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let (folder, name) = self.dir().parent_of(path.as_str(), false)?;
        folder.remove_file(name)?;
        self.remove_empty_parents(path)?;
        Ok(true)
    }

    /// Removes the folders around a removed file that have become empty. Git does not store empty
    /// folders, so a project has none.
    fn remove_empty_parents(&self, path: &ProjectPath) -> Result<(), ProjectError> {
        let mut inner = path.as_str();
        while let Some((outer, _)) = inner.rsplit_once('/') {
            let (folder, name) = self.dir().parent_of(outer, false)?;
            if !folder.remove_empty_folder(name)? {
                break;
            }
            inner = outer;
        }
        Ok(())
    }

    /// Checks that nothing is in the way of the files that will be put in place. Hidden files and
    /// links are never shown to the author of the changes, so they stay, and so does a folder that
    /// contains them.
    pub(super) fn check_ways<'c>(
        &self,
        write: impl Iterator<Item = &'c ProjectPath>,
        removed: &BTreeSet<&str>,
    ) -> Result<(), ProjectError> {
        for path in write {
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
                    Kind::Folder if vanishes(&here.folder(part)?, &place, removed)? => {}
                    Kind::File if last || removed.contains(place.as_str()) => break,
                    Kind::Symlink | Kind::Special if last => {}
                    _ => return in_the_way(&place),
                }
                place.push('/');
            }
        }
        Ok(())
    }

    /// Moves a file from the staging folder to its place.
    pub(super) fn put_in_place(
        &self,
        staging: &Dir,
        name: &str,
        path: &ProjectPath,
    ) -> Result<Action, ProjectError> {
        let (folder, last) = self.dir().parent_of(path.as_str(), true)?;
        let action = match folder.status(last) {
            Err(FileError::NotFound) => Action::Create,
            // Only an empty folder may be replaced. Git does not store it, and it is never shown.
            Ok(stat) if Kind::of(&stat) == Kind::Folder => {
                folder.remove_empty_folder(last)?;
                Action::Create
            }
            Ok(_) => Action::Update,
            Err(error) => return Err(error.into()),
        };
        staging.rename_to(name, &folder, last)?;
        Ok(action)
    }

    /// Gives files that are as in `from` the content that they have in `to`. It is used after a
    /// kill, and after an error in the middle of a save. A file that is as in neither was changed
    /// by another program since, and stays as it is.
    pub(super) fn settle(
        &self,
        repository: &Repository,
        staging: &Staging,
        from: Option<Oid>,
        to: Option<Oid>,
    ) -> Result<(), ProjectError> {
        let tree = |id: Option<Oid>| id.map(|id| super::git::tree_of(repository, id)).transpose();
        let moves = differing(repository, tree(from)?.as_ref(), tree(to)?.as_ref())?;
        // Removals come first, because a file may become a folder.
        for one in moves.iter().filter(|one| one.new.is_none()) {
            if self.current(repository, one)? == Current::Old {
                self.take_out(&one.path)?;
            }
        }
        for (number, one) in moves.iter().enumerate() {
            let Some(new) = one.new else { continue };
            match self.current(repository, one)? {
                Current::New => {}
                Current::Old => {
                    let name = format!("settle-{number}");
                    let blob = repository.find_blob(new)?;
                    let options = WriteOptions::default();
                    staging.dir.remove_file(&name)?;
                    staging.dir.write_new(&name, options, |file| {
                        std::io::Write::write_all(file, blob.content())
                    })?;
                    self.put_in_place(&staging.dir, &name, &one.path)?;
                }
                Current::Foreign => {
                    tracing::warn!(path = %one.path, "changed by somebody else during a save");
                }
            }
        }
        Ok(())
    }

    fn current(&self, repository: &Repository, one: &Move) -> Result<Current, ProjectError> {
        let (file, stat) = match self.dir().file(one.path.as_str()) {
            Ok(open) => open,
            Err(FileError::NotFound | FileError::NotRegular) => {
                return Ok(if one.new.is_none() { Current::New } else { Current::Old });
            }
            Err(error) => return Err(error.into()),
        };
        let size = super::snapshot::size_of(&stat);
        let odb = repository.odb()?;
        let may_be = |id: Option<Oid>| {
            id.is_some_and(|id| {
                odb.read_header(id).is_ok_and(|(length, _)| u64::try_from(length) == Ok(size))
            })
        };
        if !may_be(one.old) && !may_be(one.new) {
            return Ok(Current::Foreign);
        }
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut &file, &mut content)?;
        let id = Oid::hash_object(ObjectType::Blob, &content)?;
        Ok(match Some(id) {
            id if id == one.new => Current::New,
            id if id == one.old => Current::Old,
            _ => Current::Foreign,
        })
    }
}

/// A file that differs between two versions.
pub(super) struct Move {
    pub(super) path: ProjectPath,
    /// The content in the old version. `None` if the file did not exist.
    pub(super) old: Option<Oid>,
    /// The content in the new version. `None` if the file does not exist in it.
    pub(super) new: Option<Oid>,
}

/// The present state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Current {
    Old,
    New,
    Foreign,
}

/// The files of a project that differ between two versions.
pub(super) fn differing(
    repository: &Repository,
    from: Option<&Tree<'_>>,
    to: Option<&Tree<'_>>,
) -> Result<Vec<Move>, ProjectError> {
    let mut options = DiffOptions::new();
    options.include_typechange(false).ignore_submodules(true).skip_binary_check(true);
    let diff = repository.diff_tree_to_tree(from, to, Some(&mut options))?;
    Ok(diff.deltas().filter_map(|delta| moved(&delta)).collect())
}

fn moved(delta: &DiffDelta<'_>) -> Option<Move> {
    use git2::FileMode::{Blob, BlobExecutable, BlobGroupWritable};
    let side = |file: git2::DiffFile<'_>| {
        let regular = matches!(file.mode(), Blob | BlobExecutable | BlobGroupWritable);
        (regular && file.exists()).then(|| file.id())
    };
    let file = if delta.status() == Delta::Deleted { delta.old_file() } else { delta.new_file() };
    let path = std::str::from_utf8(file.path_bytes()?).ok()?.parse().ok()?;
    let (old, new) = (side(delta.old_file()), side(delta.new_file()));
    (old != new).then_some(Move { path, old, new })
}

/// Whether a folder becomes empty, and is removed, when these files are removed; or is empty
/// already.
fn vanishes(folder: &Dir, place: &str, removed: &BTreeSet<&str>) -> Result<bool, ProjectError> {
    for entry in folder.entries()? {
        let Some(name) = entry.name_str() else {
            return Ok(false);
        };
        let place = format!("{place}/{name}");
        // The path type bounds the depth, and so the recursion.
        if place.parse::<ProjectPath>().is_err() {
            return Ok(false);
        }
        let goes = match Kind::of(&folder.status(name)?) {
            Kind::File => removed.contains(place.as_str()),
            Kind::Folder => {
                let inner = folder.folder(name)?;
                // A folder that was empty before is not removed.
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
