//! Imports a history that another program wrote. It is read once and never again.
//!
//! A `.git` without this worker's mark (`git/mark.rs`) was written by another program, together
//! with an agent that could change it. A program in a sandbox reads it and hands over whole
//! objects. The worker checks each of them (`dreamcore_import::receive`) and writes them into a new
//! repository beside the old one. The new repository gets the mark, the old one is moved into it,
//! and a rename puts it into its place. A repository that cannot be imported is kept in the same
//! way, and a new history begins with the present files.
//!
//! A repository of this worker's own that cannot be read any more, for example after a power cut,
//! is imported in the same way, which finds the sound part of it.
//!
//! ```text
//! .dreamcore/ID/new/.git     made, filled, marked, synced
//! .git                       → .dreamcore/ID/new/.git/before-dreamcore/ID
//! .dreamcore/ID/new/.git     → .git
//! .git/before-dreamcore/ID   → .git/before-dreamcore/ID.tar.gz
//! ```
//!
//! If the worker is killed before the first rename, the old repository is still there. After it,
//! the next request that opens the project makes the second one.

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

/// By which factor a version may exceed the limits of a project: versions contain hidden files too,
/// and the limits may have been lowered since.
const TOLERANCE: u64 = 2;
/// The name of the folder in the staging folder in which a new repository is made.
const NEW: &str = "new";

/// The receiver of a confined program's stream. Returns whether it read the stream to its end.
pub type Receive<'r> = dyn FnMut(&mut dyn Read) -> bool + 'r;

type Start = dyn Fn(&Dir, &Limits, &mut Receive<'_>) -> Result<String, ForeignError> + Send + Sync;

/// Reads the repository of another program. This module starts no process, so the caller that makes
/// the [`Projects`](super::Projects) passes an importer: it gets the folder `.git`, starts the
/// confined program on it, passes the program's stream on, and returns the program's summary for
/// the log.
#[derive(Clone)]
pub struct Importer(Arc<Start>);

impl Importer {
    /// Makes an importer from a function.
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

/// Why the repository of another program was not read.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// No confined program can be started at the moment. The repository stays as it is.
    #[error("{0}")]
    Unavailable(String),
    /// The repository cannot be imported. It is put aside, and a new history begins.
    #[error("{0}")]
    Refused(String),
    /// The disk or the volume failed. The repository stays as it is.
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

/// The limits of an imported history.
fn limits(files: FileLimits) -> Limits {
    let bytes = files.max_project_bytes.saturating_mul(TOLERANCE);
    Limits {
        file_bytes: files.max_file_bytes,
        version_entries: (files.max_files as u64).saturating_mul(TOLERANCE),
        version_bytes: bytes,
        history_bytes: bytes,
    }
}

/// A new repository in the staging folder.
struct Fresh {
    /// The folder that contains the repository.
    around: Dir,
    /// The folder of the repository.
    git: Dir,
    path: std::path::PathBuf,
}

/// Begins a history in a project without one.
pub(super) fn begin(project: &Project, staging: &Staging) -> Result<(), ProjectError> {
    let fresh = make(project, staging)?;
    if install(project, staging, &fresh)? {
        tracing::warn!("a .git that is no folder is put aside");
    }
    Ok(())
}

/// Imports the history of a project. Afterwards the project has a history with a mark: the imported
/// one, or a new one if it could not be imported.
pub(super) fn import(
    project: &Project,
    writer: &Writer<'_>,
    why: &Foreign,
) -> Result<(), ProjectError> {
    let began = Instant::now();
    let staging = writer.stage()?;
    let imported = import_in(project, &staging);
    if imported.is_err() && !is_there(project)? {
        // The next request that opens the project goes on with the import.
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

/// The imported history with the program's summary, or the reason why nothing was imported.
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

/// Makes an empty repository with a mark.
fn make(project: &Project, staging: &Staging) -> Result<Fresh, ProjectError> {
    let around = staging.dir.make_folder(NEW)?;
    let path = git::init(&staging.path(project).join(NEW))?;
    let git = around.folder(".git")?;
    git::exclude_own(&git)?;
    git::mark(project, &git)?;
    Ok(Fresh { around, git, path })
}

/// Has the old repository read, and fills the new one with the objects that come.
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
            // Without objects no pack is made.
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
        // The file `shallow` is git's own way to mark a history as cut. libgit2 reads it too.
        let ids: Vec<_> = history.cut.iter().map(|id| format!("{id}\n")).collect();
        write(git::SHALLOW, ids.concat())?;
    }
    Ok(())
}

/// Writes git's index. Without it, `git status` by hand would show every file as new until the next
/// save.
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

/// Puts a new repository into its place and moves the old one into it. Returns whether there was an
/// old one.
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

/// Finishes an import that was killed between its two renames. As always, the mark decides whether
/// the new repository is trusted.
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
        // The worker was killed during something else than an import.
        Err(FileError::NotFound | FileError::NotRegular) => Ok(()),
        result => Ok(result?),
    }
}
