//! Pieces of files on their way between clients and the disk.
//!
//! A slow client keeps a piece of its file in memory. All pieces share a bounded memory: the less
//! of it is left, the smaller the next pieces are. So with a thousand slow clients the others get
//! smaller pieces, but no client waits for another.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The smallest size of a piece, in bytes, except for the last one of a file.
const LEAST_BYTES: usize = 8 << 10;
/// How much memory all pieces together may take, in bytes, without those of the smallest size.
const ALL_BYTES: usize = 32 << 20;
/// A piece takes at most one part in this many of what is left.
const PART_OF_LEFT: usize = 16;

/// How much memory all pieces take now, in bytes.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// The size of the next piece, in bytes: `wanted`, or less if memory is short.
pub(super) fn size(wanted: usize) -> usize {
    let left = ALL_BYTES.saturating_sub(HELD.load(Ordering::Relaxed));
    wanted.min((left / PART_OF_LEFT).max(LEAST_BYTES))
}

/// A piece in memory. It counts as long as it exists.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    counted: usize,
}

impl Piece {
    /// Makes an empty piece with room for this many bytes.
    pub(super) fn with_room(size: usize) -> Self {
        Self::of(Vec::with_capacity(size), size)
    }

    /// This many zeros, to be overwritten.
    pub(super) fn zeroed(size: usize) -> Self {
        Self::of(vec![0; size], size)
    }

    fn of(bytes: Vec<u8>, counted: usize) -> Self {
        HELD.fetch_add(counted, Ordering::Relaxed);
        Self { bytes, counted }
    }

    /// The room with which the piece was made.
    pub(super) fn room(&self) -> usize {
        self.counted
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        HELD.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_small_and_large_again() {
        const WANTED: usize = 256 << 10;
        assert_eq!(size(WANTED), WANTED);
        let held: Vec<Piece> = (0..4000).map(|_| Piece::with_room(size(WANTED))).collect();
        assert_eq!(size(WANTED), LEAST_BYTES);
        assert_eq!(size(5), 5);
        let all: usize = held.iter().map(Piece::room).sum();
        assert!(all < ALL_BYTES + held.len() * LEAST_BYTES, "{all}");
        drop(held);
        assert_eq!(size(WANTED), WANTED);
    }
}
