//! The confined side: reads a repository that another program wrote, and sends the sound part of
//! it.
//!
//! Only the program of this package and its tests call this module, because it gives libgit2 bytes
//! that an attacker may have written. It reads the objects and references of the repository, and
//! nothing else: no configuration, hooks, grafts, replacements, indices or alternates.
//!
//! The module works in two passes. The first reads and measures everything that may be sent, from
//! the newest version backwards. The second sends it, the oldest version first, because the stream
//! begins with the number of objects and each object must come after those that it refers to.

mod plan;
mod references;
mod send;

use std::io::{self, Write};
use std::path::Path;

use git2::Odb;

use crate::limits::Limits;
use plan::Plan;
use references::References;

/// The memory in which libgit2 may keep objects that it has read, in bytes.
const CACHE_BYTES: isize = 32 << 20;
/// How much of the packs libgit2 may map at once, in bytes, and how much in one piece.
const MAPPED_BYTES: usize = 256 << 20;
const WINDOW_BYTES: usize = 32 << 20;

/// Why a history could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The folder could not be read, or the stream could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// libgit2 reported an error.
    #[error(transparent)]
    Git(#[from] git2::Error),
}

/// What was sent of a repository and what was not, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// The number of versions that were sent.
    pub versions: usize,
    /// The number of versions that were refused, because they are not sound or exceed the limits.
    /// The versions before them were not read.
    pub refused: usize,
    /// The number of references that were left out.
    pub references_left_out: usize,
    /// Why the first of the refused versions was refused.
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

/// Limits the memory that libgit2 uses. By default it maps packs of any size, and keeps much of
/// what it has read.
#[allow(unsafe_code, reason = "libgit2's global options have no safe form")]
fn limit_library() -> Result<(), git2::Error> {
    // SAFETY: sets a number before any object is read, and this process has only one thread.
    unsafe { git2::opts::set_cache_max_size(CACHE_BYTES) }?;
    // SAFETY: as above.
    unsafe { git2::opts::set_mwindow_size(WINDOW_BYTES) }?;
    // SAFETY: as above.
    unsafe { git2::opts::set_mwindow_mapped_limit(MAPPED_BYTES) }
}

#[cfg(test)]
mod tests;
