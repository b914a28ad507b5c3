//! A project's history: an ordinary git repository that this worker wrote, or checked when it was
//! imported.

mod fault;
mod mark;
mod open;
mod refs;

use std::sync::Once;

use git2::{Commit, ConfigLevel, Oid, Reference, Repository, Signature, Time, Transaction, Tree};

pub(super) use fault::{of_writer, written};
pub(super) use mark::mark;
pub(super) use open::{
    Foreign, exclude_own, init, is_own, open, open_at, open_in_turn, open_to_write,
};
pub(super) use refs::{OwnRef, PARTIAL, Standing, VERSIONS, is_ancestor, list};

use super::{Project, ProjectError};
use crate::safe_fs::{FileError, WriteOptions};
use crate::types::MAX_VERSION_MESSAGE_BYTES;

/// Git's file that names the versions whose parents are missing.
pub(super) const SHALLOW: &str = "shallow";
/// How much of the packs libgit2 may map at once, in bytes, and how much in one piece. Mapped
/// memory counts as the worker's own, and by default libgit2 maps packs of any size.
const MAPPED_BYTES: usize = 128 << 20;
const WINDOW_BYTES: usize = 32 << 20;
const AUTHOR_NAME: &str = "Game Creator";
const AUTHOR_EMAIL: &str = "gamecreator@dreamcore.app";

/// Sets the options of libgit2 for the whole process.
#[allow(unsafe_code, reason = "libgit2's global options have no safe form")]
pub(super) fn prepare_library() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The owner of an older project may be another user, and libgit2 would refuse it.
        // SAFETY: sets a global before any repository is opened, and only here.
        let owners = unsafe { git2::opts::set_verify_owner_validation(false) };
        // Each snapshot checks once that its objects exist. libgit2 would read each object for
        // that.
        git2::opts::strict_object_creation(false);
        // SAFETY: as above.
        let window = unsafe { git2::opts::set_mwindow_size(WINDOW_BYTES) };
        // SAFETY: as above.
        let mapped = unsafe { git2::opts::set_mwindow_mapped_limit(MAPPED_BYTES) };
        let mut results = vec![owners, window, mapped];
        for level in
            [ConfigLevel::System, ConfigLevel::Global, ConfigLevel::XDG, ConfigLevel::ProgramData]
        {
            // The machine's git configuration must not change what a save does.
            // SAFETY: as above.
            results.push(unsafe { git2::opts::set_search_path(level, "") });
        }
        if results.iter().any(Result::is_err) {
            tracing::error!("libgit2 refused a global option");
        }
    });
}

/// The author of every version.
fn author() -> Result<Signature<'static>, git2::Error> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    Signature::new(AUTHOR_NAME, AUTHOR_EMAIL, &Time::new(seconds, 0))
}

/// Writes a commit to which no reference leads yet.
pub(super) fn commit(
    repository: &Repository,
    message: &str,
    tree: &Tree<'_>,
    parents: &[Oid],
) -> Result<Oid, ProjectError> {
    let author = author()?;
    let message = bounded(message);
    let parents: Vec<Commit<'_>> =
        parents.iter().map(|id| repository.find_commit(*id)).collect::<Result<_, git2::Error>>()?;
    let parents: Vec<_> = parents.iter().collect();
    let id = repository.commit(None, &author, &author, message, tree, &parents);
    written(repository, message.len(), id)
}

/// The message of a version, cut to the length that an import accepts.
fn bounded(message: &str) -> &str {
    let mut end = message.len().min(MAX_VERSION_MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.get(..end).unwrap_or_default()
}

/// The newest version. `None` if there is none.
pub(super) fn head(repository: &Repository) -> Result<Option<Oid>, git2::Error> {
    use git2::ErrorCode::{NotFound, UnbornBranch};
    match repository.head() {
        Ok(reference) => Ok(Some(reference.peel_to_commit()?.id())),
        Err(error) if matches!(error.code(), UnbornBranch | NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The files of a version.
pub(super) fn tree_of(repository: &Repository, commit: Oid) -> Result<Tree<'_>, git2::Error> {
    repository.find_commit(commit)?.tree()
}

/// HEAD, or the branch that it refers to, locked, so that moving it can only fail for lack of
/// space.
pub(super) struct HeldHead<'r> {
    transaction: Transaction<'r>,
    name: String,
}

/// Locks HEAD, or the branch that it refers to. Removes a lock that a killed git has left first,
/// which is safe because the caller has the project's turn.
pub(super) fn hold_head<'r>(
    project: &Project,
    repository: &'r Repository,
) -> Result<HeldHead<'r>, ProjectError> {
    let unreadable = || ProjectError::Unusable(".git/HEAD is not readable".to_owned());
    let head = repository.find_reference("HEAD")?;
    let name = match head.symbolic_target() {
        Ok(branch) => branch.unwrap_or("HEAD").to_owned(),
        Err(_) => return Err(unreadable()),
    };
    if !Reference::is_valid_name(&name) {
        return Err(unreadable());
    }
    project.dir().folder(".git")?.remove_beneath(&format!("{name}.lock"))?;
    let mut transaction = repository.transaction()?;
    transaction.lock_ref(&name)?;
    Ok(HeldHead { transaction, name })
}

impl HeldHead<'_> {
    /// Moves the reference to `commit`.
    pub(super) fn move_to(mut self, commit: Oid) -> Result<(), git2::Error> {
        let author = author()?;
        self.transaction.set_target(&self.name, commit, Some(&author), "save")?;
        self.transaction.commit()
    }
}

/// Moves HEAD back to where it was before a version that cannot be kept.
pub(super) fn move_head_back(
    project: &Project,
    repository: &Repository,
    before: Option<Oid>,
) -> Result<(), ProjectError> {
    match before {
        Some(before) => Ok(hold_head(project, repository)?.move_to(before)?),
        // There was no branch before.
        None => Ok(repository.head()?.delete()?),
    }
}

/// Marks the same versions of a copied history as cut as in the original.
pub(super) fn copy_cuts(
    from: &Project,
    to: &Project,
    repository: &Repository,
) -> Result<(), ProjectError> {
    let mut text = String::new();
    match from.dir().folder(".git")?.file(SHALLOW) {
        Ok((mut file, _)) => drop(std::io::Read::read_to_string(&mut file, &mut text)?),
        Err(FileError::NotFound) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let odb = repository.odb()?;
    odb.refresh()?;
    let is_copied = |line: &&str| Oid::from_str(line).is_ok_and(|id| odb.exists(id));
    let cuts: Vec<_> = text.lines().filter(is_copied).map(|line| format!("{line}\n")).collect();
    if cuts.is_empty() {
        return Ok(());
    }
    let options = WriteOptions::default();
    let text = cuts.concat();
    let git = to.dir().folder(".git")?;
    Ok(git
        .replace_file(SHALLOW, options, |file| std::io::Write::write_all(file, text.as_bytes()))?)
}

/// The abbreviated hash of a version, long enough to be unique at present.
pub(super) fn short_id(repository: &Repository, commit: Oid) -> Result<String, git2::Error> {
    let short = repository.find_object(commit, None)?.short_id()?;
    Ok(short.as_str().map_or_else(|_| commit.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_too_long_ends_between_two_characters() {
        let name = "長".repeat(MAX_VERSION_MESSAGE_BYTES);
        let kept = bounded(&name);
        assert!(
            kept.len() <= MAX_VERSION_MESSAGE_BYTES && kept.len() > MAX_VERSION_MESSAGE_BYTES - 3
        );
        assert_eq!(bounded("短い"), "短い");
    }
}
