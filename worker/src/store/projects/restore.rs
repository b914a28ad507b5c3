//! Restores a version: the code becomes as it was in that version, and the assets stay as they are.

use git2::{ObjectType, TreeWalkMode, TreeWalkResult};

use super::changes::{Changes, Published, Source, StoredContent};
use super::{Patience, ProjectError, ProjectKey, Projects, git, history, lineage};
use crate::store::volume::Activity;
use crate::types::{ProjectPath, VersionId};

/// The message of the version that keeps unsaved files before an older version is restored.
const BEFORE: &str = "Before restore（復元前の保存）";

/// The folder whose files stay as they are.
const ASSETS: &str = "assets";

impl Projects {
    /// Restores the code of a version: files get the content that they had in it, and files that it
    /// does not have are removed. Files below `assets/` stay. Unsaved files become a version first,
    /// and so does the result, so restoring can itself be undone. Blocks.
    pub fn restore(
        &self,
        key: ProjectKey,
        version: &VersionId,
        patience: &Patience,
    ) -> Result<Published, ProjectError> {
        let pass = self.volume.enter(Activity::Save);
        let project = self.open_as(key, pass.clone())?;
        let repository = git::open(&project)?.ok_or(ProjectError::NotFound)?;
        let commit = history::find(&repository, version)?;
        let short = git::short_id(&repository, commit.id())?;

        let mut changes = Changes {
            message: lineage::restoring_message(&short, commit.id()),
            unsaved_message: Some(BEFORE),
            ..Changes::default()
        };
        commit.tree()?.walk(TreeWalkMode::PreOrder, |folder, entry| {
            let regular = entry.kind() == Some(ObjectType::Blob) && entry.filemode() != LINK;
            let path = entry.name().map(|name| format!("{folder}{name}"));
            if let Some(path) = path.ok().and_then(|path| path.parse().ok())
                && regular
                && is_restored(&path)
            {
                changes.write.insert(path, Source::Stored(StoredContent(entry.id())));
            }
            TreeWalkResult::Ok
        })?;
        for file in project.list()? {
            if is_restored(&file.path) && !changes.write.contains_key(&file.path) {
                changes.remove.insert(file.path);
            }
        }
        patience.check()?;
        self.publish_as(key, &changes, &pass)
    }
}

/// Git's mode of a symbolic link.
const LINK: i32 = 0o120_000;

/// Whether restoring a version changes a file of this path.
fn is_restored(path: &ProjectPath) -> bool {
    path.parts().next() != Some(ASSETS)
}
