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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line_whatever_is_in_it() {
        let value = "two\nlines\r\n and \u{2028}".to_owned();
        let line = encode(&value).unwrap();
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        assert_eq!(decode::<String>(&line).unwrap(), value);
        assert!(decode::<String>(b"\"cut").is_err());
    }
}
