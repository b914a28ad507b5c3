//! Importing a git repository that another program wrote.
//!
//! An older project's `.git` was written by another program, together with an agent that could
//! change it. So every byte of it may be an attack on the program that reads it: compressed objects
//! that never end, trees that name each other until they stand for billions of files, a million
//! references. The worker therefore never reads such a folder itself. The program of this package
//! reads it once, in a sandbox ([`walk`]), and writes the history as a plain stream of whole
//! objects ([`frames`]). The worker trusts nothing in that stream ([`receive()`]): it hashes,
//! parses and measures every object again, and accepts an object only if it refers to objects that
//! came before. The result is a history that this worker could have written itself, and every
//! object keeps its id.
//!
//! Both sides share the limits and the parsers of this package. The program uses them to choose
//! what to send: where a version is not sound, it cuts the history, and leaves out that version and
//! those before it. The worker uses them to check that the program did so.

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
