//! How much of everything an imported history may have.
//!
//! The numbers that depend on the operator's settings come with each import; the others are fixed.
//! All of them are above what this worker writes itself, so a history of its own passes when it is
//! imported again.

use serde::{Deserialize, Serialize};

/// Most bytes of a commit or an annotated tag, its message included. A version's name has at most
/// 8 KiB.
pub const MAX_COMMIT_BYTES: u64 = 64 * 1024;
/// Most parents of a commit. A save makes at most 17.
pub const MAX_PARENTS: usize = 64;
/// Most bytes of one tree object: one folder of a version.
pub const MAX_TREE_BYTES: u64 = 4 << 20;
/// Most folders inside one another.
pub const MAX_DEPTH: u32 = 48;
/// Longest path in a version, in bytes.
pub const MAX_PATH_BYTES: u64 = 2048;
/// Most bytes of all paths of a version together. Whoever compares two versions holds them all.
pub const MAX_VERSION_PATH_BYTES: u64 = 8 << 20;
/// Most objects of a history.
pub const MAX_OBJECTS: u32 = 250_000;
/// Most references. Every save looks at all of them.
pub const MAX_REFERENCES: usize = 512;
/// Longest name of a reference, in bytes: it is a path on the volume.
pub const MAX_REFERENCE_BYTES: usize = 240;

/// The limits that the operator's settings decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most bytes of one file.
    pub file_bytes: u64,
    /// Most files and folders of one version together.
    pub version_entries: u64,
    /// Most bytes of all files of one version.
    pub version_bytes: u64,
    /// Most bytes of all objects of the history together, uncompressed.
    pub history_bytes: u64,
}
