//! The limits of an imported history.
//!
//! Those that depend on the operator's settings are passed with each import; the others are fixed.
//! Each is larger than anything that this worker writes, so a history that it wrote can be imported
//! again.

use serde::{Deserialize, Serialize};

/// The largest size of a commit or an annotated tag with its message, in bytes. The messages that
/// this worker writes have at most 8 KiB.
pub const MAX_COMMIT_BYTES: u64 = 64 * 1024;
/// The largest number of parents of a commit. A save of this worker writes at most 17.
pub const MAX_PARENTS: usize = 64;
/// The largest size of a tree object, which is one folder of a version, in bytes.
pub const MAX_TREE_BYTES: u64 = 4 << 20;
/// The largest depth of folders inside one another.
pub const MAX_DEPTH: u32 = 48;
/// The longest path in a version, in bytes.
pub const MAX_PATH_BYTES: u64 = 2048;
/// The largest size of all paths of a version together, in bytes. The worker holds all of them in
/// memory when it compares two versions.
pub const MAX_VERSION_PATH_BYTES: u64 = 8 << 20;
/// The largest number of objects of a history.
pub const MAX_OBJECTS: u32 = 250_000;
/// The largest number of references. Every save reads all of them.
pub const MAX_REFERENCES: usize = 512;
/// The longest name of a reference, in bytes. The name becomes a path on the volume.
pub const MAX_REFERENCE_BYTES: usize = 240;

/// The limits that the operator's settings decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The largest size of one file, in bytes.
    pub file_bytes: u64,
    /// The largest number of files and folders of one version together.
    pub version_entries: u64,
    /// The largest size of all files of one version together, in bytes.
    pub version_bytes: u64,
    /// The largest size of all objects of the history together, uncompressed, in bytes.
    pub history_bytes: u64,
}
