//! Encoding of messages: each value is one line of JSON.
//!
//! With one line per value, the reader knows where it ends without a length before it, and people
//! can read the messages in the output of `strace`.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest line in either direction, in bytes: a plan with its environment is a few KiB.
pub const MAX_BYTES: usize = 256 * 1024;

/// Why a value could not be encoded, or a line not decoded.
pub type Error = serde_json::Error;

/// Encodes `value` as a line, with the line feed at its end.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// Decodes the value of a line, with or without the line feed at its end.
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
