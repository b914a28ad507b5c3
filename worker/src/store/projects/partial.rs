//! Partial versions: the unfinished work of failed runs, kept as a version beside the history.

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Oid};

use super::changes::{Base, Changes, Source};
use super::git::{self, OwnRef, PARTIAL};
use super::writer::Writer;
use super::{Project, ProjectError, ProjectKey, Projects, journal, snapshot};
use crate::store::volume::Activity;

/// A partial version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// Its abbreviated hash. It can be restored like any other version.
    pub version: String,
}

impl Projects {
    /// Keeps changes as a partial version. The files and the history of the project stay as they
    /// are. `None` if there are no changes. Blocks.
    pub fn keep_partial(
        &self,
        key: ProjectKey,
        changes: &Changes<'_>,
    ) -> Result<Option<Partial>, ProjectError> {
        if changes.write.is_empty() && changes.remove.is_empty() {
            return Ok(None);
        }
        let pass = self.volume.enter(Activity::Save);
        let (project, existed) = match self.open_as(key, pass.clone()) {
            Err(ProjectError::NotFound) => (self.open_or_create(key, pass.clone())?, false),
            result => (result?, true),
        };
        let result = project.keep_partial(changes);
        if result.is_err() && !existed {
            self.take_back(key, &pass);
        }
        pass.changed();
        result.map(Some)
    }
}

impl Project {
    fn keep_partial(&self, changes: &Changes<'_>) -> Result<Partial, ProjectError> {
        let writer = Writer::wait(self)?;
        journal::finish(self, &writer)?;
        let staging = writer.stage()?;
        let repository = git::open_to_write(self, &writer, &staging)?;
        writer.clear(&staging)?;

        let base = match changes.base {
            Some(Base(base)) => base,
            None => git::head(&repository)?,
        };
        let mut builder = TreeUpdateBuilder::new();
        for (path, content) in &changes.write {
            let id = match content {
                Source::File(source) => {
                    let (file, stat) = source.file(path.as_str())?;
                    snapshot::store(&repository, file, snapshot::size_of(&stat))?
                }
                Source::Bytes(bytes) => {
                    git::written(&repository, bytes.len(), repository.blob(bytes))?
                }
                Source::Stored(stored) => stored.0,
            };
            builder.upsert(path.as_str(), id, FileMode::Blob);
        }
        let tree = match base {
            Some(base) => git::tree_of(&repository, base)?,
            None => repository.find_tree(repository.treebuilder(None)?.write()?)?,
        };
        for path in &changes.remove {
            if tree.get_path(path.as_str().as_ref()).is_ok() {
                builder.remove(path.as_str());
            }
        }
        let tree = git::written(&repository, 0, builder.create_updated(&repository, &tree))?;
        let tree = repository.find_tree(tree)?;
        let parents: Vec<Oid> = base.into_iter().collect();
        let id = git::commit(&repository, &changes.message, &tree, &parents)?;
        // Every object to which the reference leads is on the disk before the reference is written.
        self.dir().sync_file_system()?;
        OwnRef::write(&repository, PARTIAL, &staging.id, id)?;
        self.dir().sync_file_system()?;
        Ok(Partial { version: git::short_id(&repository, id)? })
    }
}
