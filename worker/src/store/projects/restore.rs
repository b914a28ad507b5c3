//! Going back: the code as it was in a version, with the assets as they are.

use git2::{ObjectType, TreeWalkMode, TreeWalkResult};

use super::changes::{Changes, Published, Source, StoredContent};
use super::{ProjectError, ProjectKey, Projects, git, history};
use crate::types::{ProjectPath, VersionId};

/// The folder whose files stay as they are.
const ASSETS: &str = "assets";

impl Projects {
    /// Brings back the code of a version: files get the content that they had then, and files that
    /// did not exist then go. What is below `assets/` stays. What nobody had saved becomes a version
    /// first, and so does the result: going back can itself be undone. Blocking.
    pub fn restore(&self, key: ProjectKey, version: &VersionId) -> Result<Published, ProjectError> {
        let project = self.open(key)?;
        let repository = git::open_mended(&project)?.ok_or(ProjectError::NotFound)?;
        let commit = history::find(&repository, version)?;
        let short = git::short_id(&repository, commit.id())?;

        let mut changes =
            Changes { message: format!("バージョン {short} を復元"), ..Changes::default() };
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
        self.publish(key, &changes)
    }
}

/// How git marks a symbolic link.
const LINK: i32 = 0o120_000;

/// Whether restoring a version concerns a file.
fn is_restored(path: &ProjectPath) -> bool {
    path.parts().next() != Some(ASSETS)
}
