//! Copying a project, with its history or without: a remix.

use nix::errno::Errno;

use super::changes::{Changes, Published};
use super::writer::Writer;
use super::{Patience, Project, ProjectError, ProjectKey, Projects, git};
use crate::safe_fs::{Dir, FileError, WriteOptions, empty};
use crate::store::volume::Location;

/// Prefix of projects that are being made; no id begins like that.
pub(super) const TEMPORARY: &str = ".dreamcore-tmp-";

/// What is to be copied.
#[derive(Debug, Clone)]
pub struct CopyRequest {
    /// From here.
    pub from: ProjectKey,
    /// To here, where nothing may be.
    pub to: ProjectKey,
    /// Whether all versions are copied too.
    pub with_history: bool,
    /// What the copy's version is called.
    pub message: String,
}

impl Projects {
    /// Copies a project to a place where there is none. The copy is made under another name and
    /// then renamed: whoever looks sees none or a whole one. Blocking.
    pub fn copy(
        &self,
        request: &CopyRequest,
        patience: &Patience,
    ) -> Result<Published, ProjectError> {
        let source = self.open(request.from)?;
        let projects = Location::Projects(request.to.user);
        let parent = self.volume.make(projects)?;
        let target = request.to.project.to_string();
        check_free(&parent, &target)?;
        sweep(&parent)?;

        let name = format!("{TEMPORARY}{}", uuid::Uuid::new_v4().simple());
        let path = self.volume.path_of(projects).join(&name);
        let copy = self.project_at(path, parent.make_folder(&name)?, request.to);
        // Tells others that somebody is at it; lost with the process.
        let _held = copy.dir.try_lock()?;
        let result = copy.fill(&source, request, patience).and_then(|published| {
            check_free(&parent, &target)?;
            match parent.move_to(name.as_ref(), &parent, &target) {
                Ok(()) => {}
                Err(Errno::EEXIST | Errno::ENOTEMPTY) => return Err(ProjectError::Exists),
                Err(errno) => return Err(std::io::Error::from(errno).into()),
            }
            parent.sync_file_system()?;
            Ok(published)
        });
        if result.is_err() {
            let removed = empty(&copy.dir).map_err(FileError::from);
            if let Err(error) = removed.and_then(|()| parent.remove_empty_folder(&name)) {
                tracing::warn!(%error, "a copy that failed was left behind");
            }
        }
        result
    }
}

/// A folder in which nothing is, as somebody may have made it ahead, is as good as none.
fn check_free(parent: &Dir, name: &str) -> Result<(), ProjectError> {
    parent.remove_empty_folder(name)?;
    match parent.status(name) {
        Err(FileError::NotFound) => Ok(()),
        Ok(_) => Err(ProjectError::Exists),
        Err(error) => Err(error.into()),
    }
}

impl Project {
    /// Copies everything into this project, which is new and which nobody sees yet.
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
            folder.replace_file(&name, options, |to| std::io::copy(&mut content, to))?;
        }
        Ok(())
    }
}

/// Removes copies that were killed.
fn sweep(parent: &Dir) -> Result<(), ProjectError> {
    for entry in parent.entries()? {
        let Some(name) = entry.name_str().filter(|name| name.starts_with(TEMPORARY)) else {
            continue;
        };
        let Ok(folder) = parent.folder(name) else { continue };
        if folder.try_lock()?.is_some() {
            empty(&folder)?;
            parent.remove_empty_folder(name)?;
        }
    }
    Ok(())
}
