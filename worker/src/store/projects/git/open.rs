//! Opening a history, mending one that cannot be opened, or beginning one.

use git2::{Config, ErrorClass, ErrorCode, Repository, RepositoryInitOptions};

use super::{VERSIONS, harden, refs};
use crate::safe_fs::{Dir, FileError, WriteOptions};
use crate::store::projects::writer::{Staging, Writer};
use crate::store::projects::{Project, ProjectError};

/// Locks that a killed git left behind. Only whoever may save takes them away.
const LOCKS: [&str; 4] = ["index.lock", "HEAD.lock", "packed-refs.lock", "config.lock"];
/// The branch of a new history.
const BRANCH: &str = "refs/heads/main";

/// Opens the history for reading, if there is one.
pub(in crate::store::projects) fn open(
    project: &Project,
) -> Result<Option<Repository>, ProjectError> {
    match folder(project)? {
        Some(git) => open_checked(project, &git).map(Some),
        None => Ok(None),
    }
}

/// The same for whoever reads and has not taken a turn: a history that cannot be read is mended.
pub(in crate::store::projects) fn open_mended(
    project: &Project,
) -> Result<Option<Repository>, ProjectError> {
    let opened = open(project).and_then(|repository| {
        if let Some(repository) = &repository {
            super::head(repository)?;
        }
        Ok(repository)
    });
    match opened {
        Err(ProjectError::Git(error)) => {
            tracing::warn!(%error, "a history is mended");
            let writer = Writer::wait(project)?;
            let staging = writer.stage()?;
            let (repository, _) = open_to_write(project, &staging)?;
            writer.clear(&staging)?;
            Ok(Some(repository))
        }
        result => result,
    }
}

/// Opens the history, mends it if that is needed, or begins one. Whether it was begun now. For
/// whoever has the right to save.
pub(in crate::store::projects) fn open_to_write(
    project: &Project,
    staging: &Staging,
) -> Result<(Repository, bool), ProjectError> {
    let Some(git) = folder(project)? else {
        return begin(project, staging).map(|repository| (repository, true));
    };
    for path in LOCKS {
        git.remove_beneath(path)?;
    }
    let repository = match open_checked(project, &git) {
        Err(ProjectError::Git(error)) if error.class() == ErrorClass::Config => {
            harden::replace_config(&git)?;
            open_checked(project, &git)?
        }
        Err(ProjectError::Git(error)) if error.code() == ErrorCode::NotFound => {
            complete(&git)?;
            open_checked(project, &git)?
        }
        result => result?,
    };
    mend_head(&git, &repository)?;
    Ok((repository, false))
}

/// The folder `.git`, if it is one.
fn folder(project: &Project) -> Result<Option<Dir>, ProjectError> {
    match project.dir().folder(".git") {
        Ok(git) => Ok(Some(git)),
        Err(FileError::NotFound | FileError::NotRegular) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn open_checked(project: &Project, git: &Dir) -> Result<Repository, ProjectError> {
    project.checked().check(git)?;
    let repository = Repository::open_bare(project.path().join(".git"))?;
    repository.set_config(&Config::new()?)?;
    Ok(repository)
}

/// Makes what libgit2 needs to see a repository at all: a kill while git was beginning one, or a
/// crash, leaves less.
fn complete(git: &Dir) -> Result<(), ProjectError> {
    for name in ["objects", "refs"] {
        git.make_folder(name)?;
    }
    match git.file("HEAD") {
        Ok((_, stat)) if stat.st_size > 0 => Ok(()),
        Ok(_) | Err(FileError::NotFound | FileError::NotRegular) => write_head(git),
        Err(error) => Err(error.into()),
    }
}

fn write_head(git: &Dir) -> Result<(), ProjectError> {
    let options = WriteOptions { sync: true, owner: None };
    let text = format!("ref: {BRANCH}\n");
    Ok(git.replace_file("HEAD", options, |file| std::io::Write::write_all(file, text.as_bytes()))?)
}

/// A power cut can leave the file of a branch empty or a commit unwritten. Then the newest version
/// that can be read is the newest one. References to what is not there go, and are logged.
fn mend_head(git: &Dir, repository: &Repository) -> Result<(), ProjectError> {
    let Err(error) = super::head(repository) else {
        return Ok(());
    };
    tracing::warn!(%error, "the newest version of a project cannot be read");
    let name =
        match repository.find_reference("HEAD").as_ref().map(git2::Reference::symbolic_target) {
            Ok(Ok(Some(branch))) if branch.starts_with("refs/heads/") => branch.to_owned(),
            _ => {
                write_head(git)?;
                BRANCH.to_owned()
            }
        };
    if super::head(repository).is_ok() {
        return Ok(());
    }
    git.remove_beneath(&name)?;
    let mut newest = None;
    for own in refs::list(repository, VERSIONS)? {
        if super::tree_of(repository, own.id).is_ok() {
            newest = Some(own.id);
        } else {
            tracing::warn!(id = %own.id, "a version of a project is lost");
            own.remove(repository)?;
        }
    }
    if let Some(id) = newest {
        repository.reference(&name, id, true, "mended")?;
    }
    Ok(())
}

/// Begins a history. It is made beside its place, so that a kill leaves none or a whole one.
fn begin(project: &Project, staging: &Staging) -> Result<Repository, ProjectError> {
    const NAME: &str = "new";
    const BEFORE: &str = "before-dreamcore";
    let mut options = RepositoryInitOptions::new();
    // No template: it could bring hooks along.
    options.external_template(false).initial_head("main").no_reinit(true);
    let folder = staging.dir.make_folder(NAME)?;
    Repository::init_opts(staging.path(project).join(NAME), &options)?;
    // A file that points elsewhere (a worktree, a submodule), or a link. It is kept and not followed.
    match project.dir().rename_to(".git", &folder.folder(".git")?, BEFORE) {
        Ok(()) => tracing::warn!("a .git that is no folder is put aside"),
        Err(FileError::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    folder.rename_to(".git", project.dir(), ".git")?;
    let git = project.dir().folder(".git")?;
    open_checked(project, &git)
}
