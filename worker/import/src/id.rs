//! The name of an object: the SHA-1 of its kind, length and content.

use std::fmt;

/// The name of an object: twenty bytes, shown as 40 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub [u8; 20]);

impl Id {
    /// Reads exactly 40 hexadecimal digits, of either case.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let mut id = [0; 20];
        if text.len() != 2 * id.len() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|n| u8::try_from(n).ok());
        for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(id))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_forty_digits_and_nothing_else() {
        let text = "00ff10a9".repeat(5);
        assert_eq!(Id::from_hex(text.as_bytes()).unwrap().to_string(), text);
        assert_eq!(Id::from_hex(text.to_uppercase().as_bytes()).unwrap().to_string(), text);
        for bad in ["", "00", &"0".repeat(39), &"0".repeat(41), &"g".repeat(40), &"+1".repeat(20)] {
            assert_eq!(Id::from_hex(bad.as_bytes()), None, "{bad}");
        }
    }
}
