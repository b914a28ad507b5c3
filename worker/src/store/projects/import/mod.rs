//! Importing a history that somebody else wrote: once, and never reading it again.
//!
//! A `.git` without this worker's mark (`git/mark.rs`) was written by another program, together with
//! an agent that could reach it. It is read by a program in a sandbox, which hands over whole objects;
//! they are checked one by one (`dreamcore_import::receive`) and written into a new repository beside
//! the old one. The new one gets the mark, takes the old one in, and takes its place by a rename. What
//! cannot be imported is kept the same way, and a history begins with the files as they are.
//!
//! The same is done with a repository of this worker's own that cannot be read any more, after a
//! power cut for example: what is sound of it is found by the same walk.
//!
//! ```text
//! .dreamcore/ID/new/.git     made, filled, marked, synced
//! .git                       → .dreamcore/ID/new/.git/before-dreamcore/ID
//! .dreamcore/ID/new/.git     → .git
//! .git/before-dreamcore/ID   → .git/before-dreamcore/ID.tar.gz
//! ```
//!
//! Killed before the first rename, there is the old repository. After it, the next one who opens the
//! project finishes the second.

mod keep;
mod pack;

pub(super) use keep::FOLDER as KEPT;

use std::fmt;
use std::io::{Read, Write as _};
use std::sync::Arc;
use std::time::Instant;

use dreamcore_import::receive::Event;
use dreamcore_import::{History, Limits, ReceiveError, receive};
use git2::{Index, Oid};

use super::FileLimits;
use super::git::{self, Foreign};
use super::writer::{Staging, Writer};
use super::{Project, ProjectError};
use crate::safe_fs::{Dir, FileError, WriteOptions, empty};
use pack::Pack;

/// How much more than a project may have today its versions may have had: hidden files are counted,
/// and limits may have been lowered.
const TOLERANCE: u64 = 2;
/// The folder of a repository that is being made, in the place of its save.
const NEW: &str = "new";

/// What the stream of a confined program is given to. Returns whether it was read to its end.
pub type Receive<'r> = dyn FnMut(&mut dyn Read) -> bool + 'r;

type Start = dyn Fn(&Dir, &Limits, &mut Receive<'_>) -> Result<String, ForeignError> + Send + Sync;

/// What reads a stranger's repository. This module starts no process, so whoever makes the
/// [`Projects`](super::Projects) hands it in: it gets the folder `.git`, starts the confined program
/// on it, passes on what that writes, and returns what was said of it.
#[derive(Clone)]
pub struct Importer(Arc<Start>);

impl Importer {
    /// An importer that does this.
    pub fn new(
        start: impl Fn(&Dir, &Limits, &mut Receive<'_>) -> Result<String, ForeignError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(start))
    }
}

impl fmt::Debug for Importer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Importer")
    }
}

/// Why a stranger's repository was not read.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// Nothing can be read confined at the moment. The repository stays as it is.
    #[error("{0}")]
    Unavailable(String),
    /// The repository is to blame.
    #[error("{0}")]
    Refused(String),
    /// The disk is, or the volume.
    #[error(transparent)]
    Failed(#[from] ProjectError),
}

impl From<FileError> for ForeignError {
    fn from(error: FileError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<std::io::Error> for ForeignError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// What an imported history may have.
fn limits(files: FileLimits) -> Limits {
    let bytes = files.max_project_bytes.saturating_mul(TOLERANCE);
    Limits {
        file_bytes: files.max_file_bytes,
        version_entries: (files.max_files as u64).saturating_mul(TOLERANCE),
        version_bytes: bytes,
        history_bytes: bytes,
    }
}

/// A new repository beside the project.
struct Fresh {
    /// The folder around it.
    around: Dir,
    /// The repository.
    git: Dir,
    path: std::path::PathBuf,
}

/// Begins a history where there is none.
pub(super) fn begin(project: &Project, staging: &Staging) -> Result<(), ProjectError> {
    let fresh = make(project, staging)?;
    if install(project, staging, &fresh)? {
        tracing::warn!("a .git that is no folder is put aside");
    }
    Ok(())
}

/// Imports the history of a project. It is this worker's own then, or there is a new one.
pub(super) fn import(
    project: &Project,
    writer: &Writer<'_>,
    why: &Foreign,
) -> Result<(), ProjectError> {
    let began = Instant::now();
    let staging = writer.stage()?;
    let imported = import_in(project, &staging);
    if imported.is_err() && !is_there(project)? {
        // The next one who opens the project carries on.
        return imported.map(drop);
    }
    let kept = match &imported {
        Ok(_) => keep::compress(&project.dir().folder(".git")?, &staging.id),
        Err(_) => String::new(),
    };
    writer.clear(&staging)?;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let of = project.name();
    match imported? {
        Ok((history, said)) => {
            let cut = history.cut.len();
            let (versions, objects) = (history.versions, history.objects);
            tracing::info!(
                project = of, %why, versions, objects, cut, said, kept, took_ms,
                "a history was imported"
            );
        }
        Err(reason) => tracing::error!(
            project = of, %why, reason, kept, took_ms,
            "a history could not be imported and was put aside; a new one begins"
        ),
    }
    Ok(())
}

/// What was imported and what was said of it, or why nothing was.
type Imported = Result<(History, String), String>;

fn import_in(project: &Project, staging: &Staging) -> Result<Imported, ProjectError> {
    let mut fresh = make(project, staging)?;
    let imported = match fill(project, &fresh) {
        Ok(imported) => Ok(imported),
        Err(ForeignError::Refused(reason)) => {
            empty(&fresh.around)?;
            fresh = make(project, staging)?;
            Err(reason)
        }
        Err(ForeignError::Unavailable(reason)) => return Err(ProjectError::Foreign(reason)),
        Err(ForeignError::Failed(error)) => return Err(error),
    };
    install(project, staging, &fresh)?;
    Ok(imported)
}

/// Makes an empty repository with the mark.
fn make(project: &Project, staging: &Staging) -> Result<Fresh, ProjectError> {
    let around = staging.dir.make_folder(NEW)?;
    let path = git::init(&staging.path(project).join(NEW))?;
    let git = around.folder(".git")?;
    git::exclude_own(&git)?;
    git::mark(project, &git)?;
    Ok(Fresh { around, git, path })
}

/// Lets the old repository be read, and fills the new one with what comes.
fn fill(project: &Project, fresh: &Fresh) -> Result<(History, String), ForeignError> {
    let old = project.dir().folder(".git")?;
    let limits = limits(project.limits());
    let mut received = Err(ForeignError::Refused("nothing was read".to_owned()));
    let Importer(start) = project.importer();
    let said = start(&old, &limits, &mut |stream: &mut dyn Read| {
        received = receive_objects(stream, &limits, fresh);
        received.is_ok()
    })?;
    let history = received.map_err(|error| match error {
        ForeignError::Refused(reason) if !said.is_empty() => {
            ForeignError::Refused(format!("{reason}; {said}"))
        }
        other => other,
    })?;
    write_references(&fresh.git, &history)?;
    write_index(&fresh.path, &history)?;
    Ok((history, said))
}

fn receive_objects(
    mut stream: &mut dyn Read,
    limits: &Limits,
    fresh: &Fresh,
) -> Result<History, ForeignError> {
    let folder = fresh.path.join("objects/pack");
    let mut pack = None;
    let received = receive::<ProjectError>(&mut stream, limits, |event| {
        match (event, &mut pack) {
            // An empty pack is none.
            (Event::Count(0), _) => Ok(()),
            (Event::Count(_), None) => pack.insert(Pack::begin(&folder)?).take(event),
            (_, Some(pack)) => pack.take(event),
            (_, None) => Ok(()),
        }
    });
    let history = received.map_err(|error| match error {
        ReceiveError::Output(error) => ForeignError::Failed(error),
        other => ForeignError::Refused(other.to_string()),
    })?;
    if let Some(pack) = pack {
        pack.finish()?;
    }
    Ok(history)
}

fn write_references(git: &Dir, history: &History) -> Result<(), ProjectError> {
    let options = WriteOptions::default();
    let write = |name: &str, text: String| -> Result<(), FileError> {
        let (folder, last) = git.parent_of(name, true)?;
        folder.replace_file(last, options, |file| file.write_all(text.as_bytes()))
    };
    for (name, id) in &history.references {
        write(name, format!("{id}\n"))?;
    }
    if let Some(head) = &history.head {
        let at = format!("{}\n", head.commit);
        match &head.branch {
            Some(branch) => {
                write(branch, at)?;
                write("HEAD", format!("ref: {branch}\n"))?;
            }
            None => write("HEAD", at)?,
        }
    }
    if !history.cut.is_empty() {
        // git's own way to say that a history has no beginning; libgit2 knows it too.
        let ids: Vec<_> = history.cut.iter().map(|id| format!("{id}\n")).collect();
        write(git::SHALLOW, ids.concat())?;
    }
    Ok(())
}

/// Without an index, `git status` by hand would call every file new until the next save.
fn write_index(path: &std::path::Path, history: &History) -> Result<(), ProjectError> {
    let Some(head) = &history.head else { return Ok(()) };
    let repository = git::open_at(path)?;
    let mut index = Index::open(&path.join("index"))?;
    index.read_tree(&git::tree_of(&repository, Oid::from_bytes(&head.commit.0)?)?)?;
    Ok(index.write()?)
}

fn is_there(project: &Project) -> Result<bool, ProjectError> {
    match project.dir().status(".git") {
        Ok(_) => Ok(true),
        Err(FileError::NotFound) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Puts a new repository into its place. What was there moves into it; whether there was anything.
fn install(project: &Project, staging: &Staging, fresh: &Fresh) -> Result<bool, ProjectError> {
    if !is_there(project)? {
        fresh.around.rename_to(".git", project.dir(), ".git")?;
        return Ok(false);
    }
    let kept = fresh.git.make_folder(keep::FOLDER)?;
    project.dir().sync_file_system()?;
    project.dir().rename_to(".git", &kept, &staging.id)?;
    if let Err(error) = fresh.around.rename_to(".git", project.dir(), ".git") {
        kept.rename_to(&staging.id, project.dir(), ".git")?;
        return Err(error.into());
    }
    Ok(true)
}

/// Finishes what was killed between its two renames. What the new repository is worth is decided by
/// its mark, as always.
pub(super) fn recover(project: &Project, staging: &Staging) -> Result<(), ProjectError> {
    if is_there(project)? {
        return Ok(());
    }
    let recovered = || -> Result<(), FileError> {
        let around = staging.dir.folder(NEW)?;
        around.folder(".git")?.folder(keep::FOLDER)?.status(&staging.id)?;
        tracing::warn!("an import was killed; it is finished");
        around.rename_to(".git", project.dir(), ".git")
    };
    match recovered() {
        // Something else was killed.
        Err(FileError::NotFound | FileError::NotRegular) => Ok(()),
        result => Ok(result?),
    }
}
