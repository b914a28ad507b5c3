//! Puts new content into the staging folder and into the repository, before it becomes a part of
//! the project.

use std::collections::BTreeMap;
use std::io;

use git2::{ObjectType, Oid, Repository};
use nix::sys::stat::FileStat;

use super::changes::{Changes, Source};
use super::snapshot::{self, Snapshot};
use super::{Project, ProjectError, git};
use crate::safe_fs::{Dir, WriteOptions};
use crate::types::ProjectPath;

/// A file that waits in the staging folder.
pub(super) struct Staged {
    /// The name in the staging folder.
    pub(super) name: String,
    /// The hash of the content.
    pub(super) id: Oid,
    /// The size in bytes.
    pub(super) size: u64,
    /// Its status there.
    pub(super) stat: FileStat,
}

impl Staged {
    /// Whether this is the status of the same file, wherever it is by now.
    pub(super) fn is_the_one(&self, stat: &FileStat) -> bool {
        (stat.st_dev, stat.st_ino) == (self.stat.st_dev, self.stat.st_ino)
    }
}

impl Project {
    /// Copies new content into the staging folder and stores it in the repository. Files that have
    /// that content already are left out.
    pub(super) fn stage(
        &self,
        staging: &Dir,
        repository: &Repository,
        snapshot: &Snapshot,
        changes: &Changes<'_>,
    ) -> Result<BTreeMap<ProjectPath, Staged>, ProjectError> {
        let mut staged = BTreeMap::new();
        for (number, (path, content)) in changes.write.iter().enumerate() {
            let name = number.to_string();
            let known = snapshot.get(path).map(|known| known.id);
            if let Some((id, size)) =
                self.stage_one(staging, repository, &name, path, content, known)?
            {
                let stat = staging.status(&name)?;
                staged.insert(path.clone(), Staged { name, id, size, stat });
            }
        }
        Ok(staged)
    }

    /// Copies one file. `None` if the project has that content already.
    fn stage_one(
        &self,
        staging: &Dir,
        repository: &Repository,
        name: &str,
        path: &ProjectPath,
        content: &Source<'_>,
        known: Option<Oid>,
    ) -> Result<Option<(Oid, u64)>, ProjectError> {
        let options = WriteOptions::default();
        let write = |bytes: &[u8]| -> Result<u64, ProjectError> {
            self.check_size(path, bytes.len() as u64)?;
            staging.write_new(name, options, |to| io::Write::write_all(to, bytes))?;
            Ok(bytes.len() as u64)
        };
        match content {
            Source::Bytes(bytes) => {
                if known == Some(Oid::hash_object(ObjectType::Blob, bytes)?) {
                    return Ok(None);
                }
                let size = write(bytes)?;
                let id = git::written(repository, bytes.len(), repository.blob(bytes))?;
                Ok(Some((id, size)))
            }
            Source::Stored(stored) if known == Some(stored.0) => Ok(None),
            Source::Stored(stored) => {
                // The size is checked before the content is read.
                let (size, _) = repository.odb()?.read_header(stored.0)?;
                self.check_size(path, size as u64)?;
                let size = write(repository.find_blob(stored.0)?.content())?;
                Ok(Some((stored.0, size)))
            }
            Source::File(source) => {
                let (mut source, stat) = source.file(path.as_str())?;
                self.check_size(path, snapshot::size_of(&stat))?;
                let size = staging.write_new(name, options, |to| io::copy(&mut source, to))?;
                let (content, _) = staging.file(name)?;
                let id = snapshot::store(repository, content, size)?;
                if known == Some(id) {
                    staging.remove_file(name)?;
                    return Ok(None);
                }
                Ok(Some((id, size)))
            }
        }
    }

    fn check_size(&self, path: &ProjectPath, size: u64) -> Result<(), ProjectError> {
        let limit = self.limits().max_file_bytes;
        if size > limit {
            return Err(ProjectError::Quota(format!("{path} is larger than {limit} bytes")));
        }
        Ok(())
    }
}
