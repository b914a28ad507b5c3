//! The confined side: reads a repository that somebody else wrote, and writes what is sound of it.
//!
//! Only the program of this package calls this, and what tests it: it gives libgit2 a stranger's
//! bytes. Of the repository, nothing but objects and references is looked at; the configuration,
//! hooks, grafts, replacements, indices and pointers to other folders of objects are not.
//!
//! First everything that may be sent is read and measured, from the newest version on, and then it
//! is sent, the oldest first: what a version refers to must come before it, and how many objects
//! there are stands at the beginning.

mod plan;
mod references;
mod send;

use std::io::{self, Write};
use std::path::Path;

use git2::Odb;

use crate::limits::Limits;
use plan::Plan;
use references::References;

/// Memory that libgit2 may use for objects that it read before, in bytes.
const CACHE_BYTES: isize = 32 << 20;
/// How much of packs is mapped at once, in bytes, and in one piece.
const MAPPED_BYTES: usize = 256 << 20;
const WINDOW_BYTES: usize = 32 << 20;

/// Why a repository could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The folder could not be read, or the stream not written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// libgit2 refused.
    #[error(transparent)]
    Git(#[from] git2::Error),
}

/// What became of a repository, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Versions that were sent.
    pub versions: usize,
    /// Versions that were found unsound, or too much. Older ones behind them were not looked at.
    pub refused: usize,
    /// References that were left out.
    pub references_left_out: usize,
    /// The reason why the first version was refused.
    pub reason: Option<crate::object::Unsound>,
}

/// Reads the repository in `folder` and writes its history. The folder holds what a `.git` does: at
/// least `objects`, and `HEAD`, `refs` and `packed-refs` where they exist.
pub fn walk(folder: &Path, limits: &Limits, output: &mut impl Write) -> Result<Summary, WalkError> {
    limit_library()?;
    let references = References::read(folder)?;
    let odb = Odb::new()?;
    if let Some(objects) = folder.join("objects").to_str() {
        odb.add_disk_alternate(objects)?;
    }
    let mut plan = Plan::new(&odb, limits);
    let chosen = plan.choose(&references);
    send::send(&plan, &chosen, output)?;
    Ok(Summary {
        versions: plan.versions(),
        refused: plan.refused(),
        references_left_out: references.left_out() + references.kept() - chosen.references.len(),
        reason: plan.reason(),
    })
}

/// libgit2 by itself maps as much of packs as there is, and keeps a lot of what it read.
#[allow(unsafe_code, reason = "libgit2's global options have no safe form")]
fn limit_library() -> Result<(), git2::Error> {
    // SAFETY: sets a number before any object is read, in the one thread that there is.
    unsafe { git2::opts::set_cache_max_size(CACHE_BYTES) }?;
    // SAFETY: as above.
    unsafe { git2::opts::set_mwindow_size(WINDOW_BYTES) }?;
    // SAFETY: as above.
    unsafe { git2::opts::set_mwindow_mapped_limit(MAPPED_BYTES) }
}

#[cfg(test)]
mod tests;
