//! Copies a project, with its history or without.

use super::changes::{Changes, Published};
use super::writer::Writer;
use super::{Patience, Project, ProjectError, ProjectKey, Projects, git};
use crate::safe_fs::{Dir, FileError, WriteOptions};
use crate::store::volume::{Activity, Draft, Location, sweep};

/// A request to copy a project.
#[derive(Debug, Clone)]
pub struct CopyRequest {
    /// The project that is copied.
    pub from: ProjectKey,
    /// The project that the copy becomes. It must not exist.
    pub to: ProjectKey,
    /// Whether all versions are copied too.
    pub with_history: bool,
    /// The message of the copy's version.
    pub message: String,
}

impl Projects {
    /// Copies a project. The copy is made as a draft and then renamed, so a reader finds either
    /// nothing or the whole copy. Blocks.
    pub fn copy(
        &self,
        request: &CopyRequest,
        patience: &Patience,
    ) -> Result<Published, ProjectError> {
        let pass = self.volume.enter(Activity::Save);
        let source = self.open_as(request.from, pass.clone())?;
        let projects = Location::Projects(request.to.user);
        let parent = self.volume.make(projects)?;
        let target = request.to.project.to_string();
        check_free(&parent, &target)?;
        sweep(&parent);

        let draft = Draft::begin(&parent)?;
        let path = self.volume.path_of(projects).join(draft.name());
        let published = self
            .project_at(path, draft.dir().try_clone()?, request.to, pass.clone())
            .fill(&source, request, patience)?;
        check_free(&parent, &target)?;
        if !draft.finish(&target)? {
            return Err(ProjectError::Exists);
        }
        parent.sync_file_system()?;
        pass.changed();
        Ok(published)
    }
}

/// Checks that the new project does not exist. An empty folder counts as not existing.
fn check_free(parent: &Dir, name: &str) -> Result<(), ProjectError> {
    parent.remove_empty_folder(name)?;
    match parent.status(name) {
        Err(FileError::NotFound) => Ok(()),
        Ok(_) => Err(ProjectError::Exists),
        Err(error) => Err(error.into()),
    }
}

impl Project {
    /// Copies everything into this project, which is new and still a draft.
    fn fill(
        &self,
        source: &Self,
        request: &CopyRequest,
        patience: &Patience,
    ) -> Result<Published, ProjectError> {
        if request.with_history {
            self.copy_history(source, patience)?;
        }
        source.consistently(|| self.copy_files(source, patience))?;
        let message = request.message.clone();
        self.save(&Changes { message, keep_unsaved: true, ..Changes::default() })
    }

    fn copy_history(&self, source: &Self, patience: &Patience) -> Result<(), ProjectError> {
        let Some(from) = git::open(source)? else { return Ok(()) };
        let Some(head) = git::head(&from)? else { return Ok(()) };
        let writer = Writer::wait(self)?;
        let staging = writer.stage()?;
        let to = git::open_to_write(self, &writer, &staging)?;
        let mut walk = from.revwalk()?;
        walk.push(head)?;
        let mut builder = from.packbuilder()?;
        let waiting = patience.clone();
        builder.set_progress_callback(move |_, _, _| waiting.check().is_ok())?;
        builder.insert_walk(&mut walk)?;
        builder.write(&to.path().join("objects/pack"), 0o444)?;
        git::copy_cuts(source, self, &to)?;
        git::hold_head(self, &to)?.move_to(head)?;
        writer.clear(&staging)
    }

    fn copy_files(&self, source: &Self, patience: &Patience) -> Result<(), ProjectError> {
        for file in source.walk()? {
            patience.check()?;
            let (mut content, _) = source.dir().file(file.path.as_str())?;
            let (folder, name) = self.dir().parent_of(file.path.as_str(), true)?;
            let options = WriteOptions::default();
            // In place of what an earlier try left.
            folder.replace_file(name, options, |to| std::io::copy(&mut content, to))?;
        }
        Ok(())
    }
}
