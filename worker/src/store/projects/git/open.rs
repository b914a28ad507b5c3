//! Opening a history of this worker's own. One that is not is imported first.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::{Config, ErrorClass, Repository, RepositoryInitOptions, RepositoryOpenFlags};

use super::mark::is_marked;
use crate::safe_fs::{Dir, FileError, Kind, WriteOptions};
use crate::store::projects::writer::{self, Staging, Writer};
use crate::store::projects::{Project, ProjectError, import, journal};
use crate::store::volume::Activity;
use crate::store::volume::SAVE;

/// The locks that a killed git may leave. They are removed only under the project's turn.
const LOCKS: [&str; 4] = ["index.lock", "HEAD.lock", "packed-refs.lock", "config.lock"];
/// The folders of a history that must not be links, because libgit2 would follow them.
const FOLDERS: [&str; 2] = ["objects", "refs"];
/// The files of a history that must not be pipes, because libgit2 would wait for a writer for ever.
const FILES: [&str; 4] = ["HEAD", "config", "index", "packed-refs"];
/// The branch of a new history.
const BRANCH: &str = "main";
/// The folder of our own references.
const OWN_REFS: &str = "refs/dreamcore";
/// The relay's hidden state file, as a line of git's list of excluded files.
const EXCLUDED: &str = "/.style-pending.json";

/// Why a history must be imported before it is used.
pub(in crate::store::projects) enum Foreign {
    /// The history has no valid mark.
    Unmarked,
    /// The history has a mark but cannot be read.
    Damaged(git2::Error),
    /// The history has a mark, but this name in it is not what git makes it: it is a link or a
    /// pipe.
    Misshapen(&'static str),
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmarked => f.write_str("it was written by another program"),
            Self::Damaged(error) => write!(f, "it is damaged: {error}"),
            Self::Misshapen(name) => write!(f, "its {name} is not what git makes"),
        }
    }
}

/// The state of a project's history.
enum Found {
    Nothing,
    Own(Repository),
    Foreign(Foreign),
}

/// Opens the history for reading. `None` if there is none. For callers without the project's turn.
pub(in crate::store::projects) fn open(
    project: &Project,
) -> Result<Option<Repository>, ProjectError> {
    match look(project)? {
        Found::Nothing => Ok(None),
        Found::Own(repository) => Ok(Some(repository)),
        Found::Foreign(_) => {
            let _saving = project.pass.enter(Activity::Save);
            let writer = Writer::wait(project)?;
            journal::finish(project, &writer)?;
            open_in_turn(project, &writer)
        }
    }
}

/// The same for callers that have the project's turn.
pub(in crate::store::projects) fn open_in_turn(
    project: &Project,
    writer: &Writer<'_>,
) -> Result<Option<Repository>, ProjectError> {
    if let Found::Foreign(why) = look(project)? {
        import::import(project, writer, &why)?;
    }
    match look(project)? {
        Found::Nothing => Ok(None),
        Found::Own(repository) => Ok(Some(repository)),
        Found::Foreign(Foreign::Damaged(error)) => Err(error.into()),
        Found::Foreign(why) => Err(ProjectError::Unusable(why.to_string())),
    }
}

/// Opens the history, or begins one. For callers that have the project's turn and are about to
/// save.
pub(in crate::store::projects) fn open_to_write(
    project: &Project,
    writer: &Writer<'_>,
    staging: &Staging,
) -> Result<Repository, ProjectError> {
    if let Some(repository) = open_in_turn(project, writer)? {
        let git = project.dir().folder(".git")?;
        for path in LOCKS {
            git.remove_beneath(path)?;
        }
        return Ok(repository);
    }
    import::begin(project, staging)?;
    open_own(project)
}

/// Whether this worker wrote the history, whatever state it is in.
pub(in crate::store::projects) fn is_own(project: &Project) -> Result<bool, ProjectError> {
    folder(project)?.map_or(Ok(false), |git| is_marked(project, &git))
}

fn look(project: &Project) -> Result<Found, ProjectError> {
    let Some(git) = folder(project)? else {
        return Ok(Found::Nothing);
    };
    if !is_marked(project, &git)? {
        // The mark may arrive after the history. No other program has references like ours.
        let has_ours = project.pass.is_shared() && git.status_beneath(OWN_REFS).is_ok();
        if has_ours && is_recent(project, &git)? {
            return Err(ProjectError::Arriving);
        }
        return Ok(Found::Foreign(Foreign::Unmarked));
    }
    let folders = FOLDERS.map(|name| (name, Kind::Folder));
    for (name, kind) in folders.into_iter().chain(FILES.map(|name| (name, Kind::File))) {
        match git.status(name) {
            Ok(stat) if Kind::of(&stat) != kind => {
                return Ok(Found::Foreign(Foreign::Misshapen(name)));
            }
            Ok(_) | Err(FileError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let opened = open_own(project).and_then(|repository| {
        super::head(&repository)?;
        Ok(repository)
    });
    match opened {
        Ok(repository) => Ok(Found::Own(repository)),
        Err(ProjectError::Git(error)) if is_damage(&error) => {
            // The branch may have arrived before the objects of its newest version.
            if project.pass.is_shared() && is_recent(project, &git)? {
                return Err(ProjectError::Arriving);
            }
            Ok(Found::Foreign(Foreign::Damaged(error)))
        }
        Err(error) => Err(error),
    }
}

/// Whether an error is the fault of the repository and not of the machine.
fn is_damage(error: &git2::Error) -> bool {
    use ErrorClass::{Filesystem, NoMemory, Os, Thread};
    !matches!(error.class(), Filesystem | NoMemory | Os | Thread)
}

/// Whether the branch was moved, or the history begun, so recently that another container may still
/// be committing it.
fn is_recent(project: &Project, git: &Dir) -> Result<bool, FileError> {
    let stat = match git.status_beneath(&format!("refs/heads/{BRANCH}")) {
        Err(FileError::NotFound | FileError::NotRegular) => project.dir().status(".git")?,
        result => result?,
    };
    let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
    Ok(writer::is_recent(Duration::from_secs(seconds)))
}

/// Opens `.git`. `None` if it does not exist.
fn folder(project: &Project) -> Result<Option<Dir>, ProjectError> {
    match project.dir().folder(".git") {
        Ok(git) => Ok(Some(git)),
        Err(FileError::NotFound | FileError::NotRegular) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn open_own(project: &Project) -> Result<Repository, ProjectError> {
    Ok(open_at(&project.path().join(".git"))?)
}

/// Opens the repository in this folder.
pub(in crate::store::projects) fn open_at(path: &Path) -> Result<Repository, git2::Error> {
    // `Repository::open_bare` would ignore the file `shallow`, which says where the history is cut.
    let flags =
        RepositoryOpenFlags::BARE | RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT;
    let repository = Repository::open_ext(path, flags, &[] as &[&Path])?;
    repository.set_config(&Config::new()?)?;
    Ok(repository)
}

/// Makes an empty repository in this folder, and returns its path.
pub(in crate::store::projects) fn init(around: &Path) -> Result<PathBuf, git2::Error> {
    let mut options = RepositoryInitOptions::new();
    // No template, because a template can contain hooks.
    options.external_template(false).initial_head(BRANCH).no_reinit(true);
    Repository::init_opts(around, &options)?;
    Ok(around.join(".git"))
}

/// Adds the hidden files of the relay and of saves to git's list of excluded files, so that `git
/// status` by hand does not show them.
pub(in crate::store::projects) fn exclude_own(git: &Dir) -> Result<(), FileError> {
    let text = format!("{EXCLUDED}\n/{SAVE}\n");
    git.make_folder("info")?.replace_file("exclude", WriteOptions::default(), |file| {
        std::io::Write::write_all(file, text.as_bytes())
    })
}
