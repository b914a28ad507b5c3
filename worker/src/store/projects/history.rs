//! Reads the history: the list of versions, and what a version changed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use git2::{
    Commit, Delta, DiffDelta, DiffFormat, DiffOptions, ErrorCode, ObjectType, Oid, Repository,
};

use super::changes::{Base, Changes};
use super::git::{self, PARTIAL};
use super::lineage::Lineage;
use super::{Patience, Project, ProjectError, ProjectKey, Projects, writer};
use crate::store::volume::Activity;
use crate::types::VersionId;

/// The largest number of versions in one answer.
pub const MAX_LOG_LENGTH: usize = 500;
/// The longest diff, in bytes. A longer one is cut and marked.
pub const DIFF_LIMIT_BYTES: usize = 1 << 20;
/// The largest file that is compared, in bytes. A diff only names larger ones.
const COMPARED_BYTES: i64 = 1 << 20;
/// The end of the year 9999, in seconds since 1970.
const LAST_SECOND: u64 = 253_402_300_799;
/// The message of the first version of files that had no history.
const FIRST: &str = "最初のバージョン";

/// One version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The abbreviated hash.
    pub hash: String,
    /// The first line of the message.
    pub message: String,
    /// The time at which it was made.
    pub time: SystemTime,
}

/// A part of the list of versions, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    /// The versions.
    pub versions: Vec<Version>,
    /// Whether there are older versions.
    pub has_more: bool,
    /// Whether there was no history and this call has begun one.
    pub is_new: bool,
}

/// The part of the list of versions that a caller wants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Part {
    /// How many versions are left out at the beginning.
    pub skip: usize,
    /// How many versions are listed at most.
    pub limit: usize,
    /// Whether versions that were undone by restoring an older one are listed too.
    pub with_undone: bool,
}

/// What a version changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// The diff in unified form.
    pub text: String,
    /// Whether the end was cut off.
    pub is_cut: bool,
}

impl Projects {
    /// Lists versions from the newest on. A project without a history gets one. A project that does
    /// not exist has no versions. Blocks.
    pub fn log(
        &self,
        key: ProjectKey,
        part: Part,
        patience: &Patience,
    ) -> Result<Log, ProjectError> {
        let project = match self.open(key) {
            Err(ProjectError::NotFound) => return Ok(Log::default()),
            opened => opened?,
        };
        let mut is_new = false;
        let repository = match git::open(&project)? {
            Some(repository) if git::head(&repository)?.is_some() => Some(repository),
            _ => {
                let message = FIRST.to_owned();
                let begun = Changes { message, keep_unsaved: true, ..Changes::default() };
                let saving = project.pass.enter(Activity::Save);
                is_new = self.publish_as(key, &begun, &saving)?.is_new;
                git::open(&project)?
            }
        };
        let Some(repository) = repository else {
            return Ok(Log { is_new, ..Log::default() });
        };
        let log = project.consistently(|| listed(&project, &repository, part, patience))?;
        Ok(Log { is_new, ..log })
    }
}

fn listed(
    project: &Project,
    repository: &Repository,
    part: Part,
    patience: &Patience,
) -> Result<Log, ProjectError> {
    // A save in progress has a reference already, but its version does not count yet.
    let under_way = writer::under_way(project.dir())?;
    let head = git::head(repository)?;
    // Versions that another container saved at the same time are listed too.
    let mut newest = git::Standing::of(repository, head, &under_way)?.strays;
    newest.extend(head);
    let mut walk = Lineage::new(repository, part.with_undone);
    for id in newest {
        walk.push(id)?;
    }
    let limit = part.limit.min(MAX_LOG_LENGTH);
    let mut versions = Vec::new();
    let mut has_more = false;
    for (place, commit) in walk.enumerate() {
        patience.check()?;
        if versions.len() == limit {
            has_more = true;
            break;
        }
        let commit = commit?;
        if place >= part.skip {
            versions.push(described(repository, &commit)?);
        }
    }
    Ok(Log { versions, has_more, is_new: false })
}

impl Project {
    /// The newest version, for callers that begin to work on a copy.
    pub fn base(&self) -> Result<Base, ProjectError> {
        Ok(Base(match git::open(self)? {
            Some(repository) => git::head(&repository)?,
            None => None,
        }))
    }

    /// The partial versions of failed runs, the newest first. Blocks.
    pub fn unfinished(&self) -> Result<Vec<Version>, ProjectError> {
        let Some(repository) = git::open(self)? else {
            return Ok(Vec::new());
        };
        let mut found = git::list(&repository, PARTIAL)?;
        found.reverse();
        found.truncate(MAX_LOG_LENGTH);
        found
            .iter()
            .filter_map(|own| repository.find_commit(own.id).ok())
            .map(|commit| Ok(described(&repository, &commit)?))
            .collect()
    }

    /// What a version changed, compared with the version before it. Blocks.
    pub fn diff(&self, version: &VersionId, patience: &Patience) -> Result<Diff, ProjectError> {
        let repository = git::open(self)?.ok_or(ProjectError::NotFound)?;
        let commit = find(&repository, version)?;
        let before = match commit.parent(0) {
            Ok(parent) => Some(parent.tree()?),
            Err(error) if error.code() == ErrorCode::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let mut options = DiffOptions::new();
        options.max_size(COMPARED_BYTES).indent_heuristic(true);
        let diff = repository.diff_tree_to_tree(
            before.as_ref(),
            Some(&commit.tree()?),
            Some(&mut options),
        )?;
        let mut bytes = Vec::new();
        let printed = diff.print(DiffFormat::Patch, |delta, _, line| {
            if patience.check().is_err() {
                return false;
            }
            if is_hidden(&delta) {
                return true;
            }
            if matches!(line.origin(), '+' | '-' | ' ') {
                bytes.push(u8::try_from(line.origin()).unwrap_or(b' '));
            }
            bytes.extend_from_slice(line.content());
            bytes.len() <= DIFF_LIMIT_BYTES
        });
        patience.check()?;
        let is_cut = bytes.len() > DIFF_LIMIT_BYTES;
        if let Err(error) = printed
            && !is_cut
        {
            return Err(error.into());
        }
        if is_cut {
            bytes.truncate(DIFF_LIMIT_BYTES);
        }
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if is_cut {
            let is_shown =
                |delta: &DiffDelta<'_>| delta.status() != Delta::Unmodified && !is_hidden(delta);
            let files = diff.deltas().filter(is_shown).count();
            let note =
                format!("\n… cut off after {DIFF_LIMIT_BYTES} bytes; {files} files changed\n");
            text.push_str(&note);
        }
        Ok(Diff { text, is_cut })
    }
}

/// Whether a change is of a hidden file or of a file in a hidden folder. Diffs leave these out,
/// because older versions contain copies of skills there.
fn is_hidden(delta: &DiffDelta<'_>) -> bool {
    let path = delta.new_file().path_bytes().or_else(|| delta.old_file().path_bytes());
    path.is_some_and(|path| path.split(|byte| *byte == b'/').any(|part| part.starts_with(b".")))
}

/// Finds a version by its hash or by the beginning of its hash.
pub(super) fn find<'r>(
    repository: &'r Repository,
    version: &VersionId,
) -> Result<Commit<'r>, ProjectError> {
    match repository.find_commit_by_prefix(version.as_str()) {
        Ok(commit) => Ok(commit),
        Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::Peel) => {
            Err(ProjectError::NotFound)
        }
        Err(error) if error.code() == ErrorCode::Ambiguous => Err(ProjectError::Ambiguous),
        Err(error) => match full_id(version).map(|id| kind(repository, id)) {
            // The object exists but is a file or a folder.
            Some(Some(kind)) if kind != ObjectType::Commit => Err(ProjectError::NotFound),
            _ => Err(error.into()),
        },
    }
}

fn full_id(version: &VersionId) -> Option<Oid> {
    (version.as_str().len() == 40).then(|| Oid::from_str(version.as_str()).ok()).flatten()
}

fn kind(repository: &Repository, id: Oid) -> Option<ObjectType> {
    repository.odb().ok()?.read_header(id).ok().map(|(_, kind)| kind)
}

fn described(repository: &Repository, commit: &Commit<'_>) -> Result<Version, git2::Error> {
    let message = String::from_utf8_lossy(commit.message_bytes());
    let message = message.trim().lines().next().unwrap_or_default().trim_end().to_owned();
    // The clock may have been wrong, and a commit of another program can have any time.
    let seconds = u64::try_from(commit.time().seconds()).unwrap_or(0).min(LAST_SECOND);
    Ok(Version {
        hash: git::short_id(repository, commit.id())?,
        message,
        time: UNIX_EPOCH + Duration::from_secs(seconds),
    })
}
