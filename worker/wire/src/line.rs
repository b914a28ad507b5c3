//! How a value travels: as JSON in one line.
//!
//! One line a value, so that neither side needs a length or a second read to know where it ends, and
//! so that `strace` shows it to people.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest line in either direction, in bytes: a plan with its environment is a few KiB.
pub const MAX_BYTES: usize = 256 * 1024;

/// Why a value and a line are not the same.
pub type Error = serde_json::Error;

/// `value` as a line, with its end.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// The value of a line, with or without its end.
pub fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(line)
}
