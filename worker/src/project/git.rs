//! A project's history: an ordinary git repository that is used but not trusted.
//!
//! Older projects were written by another program, together with an agent that could write to
//! `.git`. So nothing in it is executed (libgit2 runs no hooks), its configuration is not used, and
//! what would make libgit2 look elsewhere is taken away first.

use std::path::Path;
use std::sync::Once;

use git2::{
    Config, ConfigLevel, Oid, Reference, Repository, RepositoryInitOptions, Signature, Time,
    Transaction,
};

use super::{Project, ProjectError};
use crate::safe_fs::{Dir, FileError, Kind};

const AUTHOR_NAME: &str = "Game Creator";
const AUTHOR_EMAIL: &str = "gamecreator@dreamcore.app";

/// Files in `.git` that point out of it, and locks that a killed git left behind. Writers of one
/// project take turns within a worker, and locks mean nothing between containers.
const REMOVED: [&str; 5] =
    ["commondir", "objects/info/alternates", "index.lock", "HEAD.lock", "packed-refs.lock"];

#[allow(clippy::cast_possible_wrap, reason = "a small constant that C declares as unsigned")]
const ENABLE_FSYNC_GITDIR: i32 = libgit2_sys::GIT_OPT_ENABLE_FSYNC_GITDIR as i32;

/// Settings of libgit2 that hold for the whole process.
#[allow(unsafe_code, reason = "libgit2's global options have no safe form")]
pub(super) fn prepare_library() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Owners differ in projects from before, and root reads them all.
        // SAFETY: sets a global before any repository is opened, and only here.
        let owners = unsafe { git2::opts::set_verify_owner_validation(false) };
        let mut results = vec![owners];
        for level in
            [ConfigLevel::System, ConfigLevel::Global, ConfigLevel::XDG, ConfigLevel::ProgramData]
        {
            // The configuration of the machine is not ours to use.
            // SAFETY: as above.
            results.push(unsafe { git2::opts::set_search_path(level, "") });
        }
        // A version that was reported as saved must survive a power cut.
        // SAFETY: as above; the option takes one int.
        let code = unsafe { libgit2_sys::git_libgit2_opts(ENABLE_FSYNC_GITDIR, 1_i32) };
        let failed = code != 0 || results.iter().any(Result::is_err);
        if failed {
            tracing::error!("libgit2 refused a global option");
        }
    });
}

/// Opens the history, or begins one. Whether it was begun now.
pub(super) fn open_or_init(project: &Project) -> Result<(Repository, bool), ProjectError> {
    match open(project)? {
        Some(repository) => Ok((repository, false)),
        None => Ok((init(&project.path)?, true)),
    }
}

/// Opens the history, if there is one.
pub(super) fn open(project: &Project) -> Result<Option<Repository>, ProjectError> {
    let git = match project.dir().status(".git") {
        Err(FileError::NotFound) => return Ok(None),
        Ok(stat) if Kind::of(&stat) == Kind::Folder => project.dir().folder(".git")?,
        Ok(_) => return Err(ProjectError::Unusable(".git is not a folder".to_owned())),
        Err(error) => return Err(error.into()),
    };
    for name in ["objects", "refs"] {
        if let Err(FileError::NotRegular) = git.folder(name) {
            return Err(ProjectError::Unusable(format!(".git/{name} is not a folder")));
        }
    }
    // Reading a fifo would wait for ever.
    for name in ["HEAD", "config", "index", "packed-refs"] {
        match git.status(name) {
            Err(FileError::NotFound) => {}
            Ok(stat) if Kind::of(&stat) == Kind::File => {}
            Ok(_) => {
                return Err(ProjectError::Unusable(format!(".git/{name} is not a file")));
            }
            Err(error) => return Err(error.into()),
        }
    }
    for path in REMOVED {
        remove(&git, path)?;
    }
    let repository = Repository::open_bare(project.path.join(".git"))?;
    repository.set_config(&Config::new()?)?;
    Ok(Some(repository))
}

/// Removes a file in `.git`. On a volume that cannot be written, what is not there is no error.
fn remove(git: &Dir, path: &str) -> Result<(), FileError> {
    let removed = git.parent_of(path, false).and_then(|(folder, name)| {
        folder.status(&name)?;
        folder.remove_file(&name)
    });
    match removed {
        Err(FileError::NotFound) => Ok(()),
        result => result,
    }
}

fn init(path: &Path) -> Result<Repository, git2::Error> {
    let mut options = RepositoryInitOptions::new();
    // No template: it could bring hooks along.
    options.external_template(false).initial_head("main").no_reinit(true);
    Repository::init_opts(path, &options)?;
    let repository = Repository::open_bare(path.join(".git"))?;
    repository.set_config(&Config::new()?)?;
    Ok(repository)
}

/// The author of every version.
pub(super) fn author() -> Result<Signature<'static>, git2::Error> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    Signature::new(AUTHOR_NAME, AUTHOR_EMAIL, &Time::new(seconds, 0))
}

/// The newest version, if there is any.
pub(super) fn head(repository: &Repository) -> Result<Option<Oid>, git2::Error> {
    use git2::ErrorCode::{NotFound, UnbornBranch};
    match repository.head() {
        Ok(reference) => Ok(Some(reference.peel_to_commit()?.id())),
        Err(error) if matches!(error.code(), UnbornBranch | NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// HEAD, or the branch that it stands for, held so that nothing but space can keep it from moving.
pub(super) struct HeldHead<'a> {
    transaction: Transaction<'a>,
    name: String,
}

/// Takes hold of HEAD, or of the branch that it stands for. A lock that a killed git left behind is
/// taken away first, for the same reason as those above.
pub(super) fn hold_head<'a>(
    project: &Project,
    repository: &'a Repository,
) -> Result<HeldHead<'a>, ProjectError> {
    let unreadable = || ProjectError::Unusable(".git/HEAD is not readable".to_owned());
    let head = repository.find_reference("HEAD")?;
    let name = match head.symbolic_target() {
        Ok(branch) => branch.unwrap_or("HEAD").to_owned(),
        Err(_) => return Err(unreadable()),
    };
    if !Reference::is_valid_name(&name) {
        return Err(unreadable());
    }
    remove(&project.dir().folder(".git")?, &format!("{name}.lock"))?;
    let mut transaction = repository.transaction()?;
    transaction.lock_ref(&name)?;
    Ok(HeldHead { transaction, name })
}

impl HeldHead<'_> {
    /// Moves it to `commit`.
    pub(super) fn move_to(mut self, commit: Oid) -> Result<(), git2::Error> {
        let author = author()?;
        self.transaction.set_target(&self.name, commit, Some(&author), "save")?;
        self.transaction.commit()
    }
}

/// The abbreviated hash that people see, long enough to be unique now.
pub(super) fn short_id(repository: &Repository, commit: Oid) -> Result<String, git2::Error> {
    let short = repository.find_object(commit, None)?.short_id()?;
    Ok(short.as_str().map_or_else(|_| commit.to_string(), str::to_owned))
}
