//! TRUST BOUNDARY 5, first half: splits the CLI's output into lines of a bounded length.

/// The longest line that is read, in bytes. The CLI repeats whole files in one line; this is a
/// hundred times the size of a large game.
pub const MAX_LINE_BYTES: usize = 8 << 20;

/// Splits a stream into lines. Lines that are too long are dropped and counted.
#[derive(Debug, Default)]
pub struct LineSplitter {
    line: Vec<u8>,
    skipping: bool,
    skipped: u64,
}

impl LineSplitter {
    /// Takes the next bytes, and calls `each` for every line that they complete, without its line
    /// feed.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (head, tail) = bytes.split_at(end);
            bytes = tail.get(1..).unwrap_or_default();
            // Most lines arrive whole and need not be copied.
            if self.line.is_empty() && !self.skipping && head.len() <= MAX_LINE_BYTES {
                each(head);
                continue;
            }
            self.extend(head);
            if !std::mem::take(&mut self.skipping) {
                each(&self.line);
            }
            self.line.clear();
        }
        self.extend(bytes);
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        if self.line.len() + bytes.len() > MAX_LINE_BYTES {
            self.skipping = true;
            self.skipped += 1;
            // A new `Vec`, so that the memory of the long line is given back.
            self.line = Vec::new();
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    /// The bytes after the last line feed.
    pub fn rest(&self) -> &[u8] {
        &self.line
    }

    /// The number of lines that were too long.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(splitter: &mut LineSplitter, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        splitter.push(bytes, |line| lines.push(line.to_vec()));
        lines
    }

    #[test]
    fn a_line_over_the_cap_is_passed_over_and_the_next_is_read() {
        let mut splitter = LineSplitter::default();
        let long = vec![b'a'; MAX_LINE_BYTES / 2 + 1];
        assert!(split(&mut splitter, &long).is_empty());
        assert!(split(&mut splitter, &long).is_empty());
        assert!(split(&mut splitter, &long).is_empty());
        assert_eq!(split(&mut splitter, b"tail\nnext\nhalf"), [b"next"]);
        assert_eq!(splitter.skipped(), 1);
        assert_eq!(splitter.rest(), b"half");
        let mut whole = vec![b'b'; MAX_LINE_BYTES + 1];
        whole.push(b'\n');
        assert_eq!(split(&mut LineSplitter::default(), &whole), Vec::<Vec<u8>>::new());
    }

    proptest! {
        #[test]
        fn lines_are_the_same_wherever_the_stream_is_cut(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..20),
        ) {
            let whole = pieces.concat();
            let mut splitter = LineSplitter::default();
            let lines: Vec<_> = pieces.iter().flat_map(|p| split(&mut splitter, p)).collect();
            let mut expected: Vec<_> = whole.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
            let rest = expected.pop().unwrap();
            prop_assert_eq!(lines, expected);
            prop_assert_eq!(splitter.rest(), rest);
        }
    }
}
