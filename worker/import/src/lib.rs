//! Importing a git repository that somebody else wrote.
//!
//! An older project's `.git` was written by another program and by an agent that could reach it, so
//! every byte of it may be an attack on whatever reads it: compressed objects that never end, trees
//! that name each other until they stand for billions of files, a million references. The worker
//! therefore never reads such a folder itself. The program of this package reads it once, in a
//! sandbox ([`walk`]), and writes the history as a plain stream of whole objects ([`frames`]). The
//! worker reads that stream and believes nothing of it ([`receive()`]): every object is hashed
//! again, parsed, measured, and may refer only to objects that came before it. What passes is a
//! history that this worker could have written itself, with the ids that it always had.
//!
//! Both sides share the limits and the parsers of this package. The program uses them to choose
//! what to send: a history is cut at the newest version that is sound, and the versions before the
//! cut are left out. The worker uses them to check that this was done.

pub mod frames;
mod id;
mod limits;
mod measure;
mod names;
pub mod object;
pub mod receive;
pub mod walk;

pub use id::Id;
pub use limits::{
    Limits, MAX_COMMIT_BYTES, MAX_DEPTH, MAX_OBJECTS, MAX_PARENTS, MAX_PATH_BYTES,
    MAX_REFERENCE_BYTES, MAX_REFERENCES, MAX_TREE_BYTES, MAX_VERSION_PATH_BYTES,
};
pub use names::{is_branch, is_reference};
pub use receive::{Head, History, ReceiveError, receive};
