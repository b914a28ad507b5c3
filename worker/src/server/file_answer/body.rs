//! The body of an answer with the bytes of a file.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use futures_util::stream::{iter, try_unfold};

use crate::blocking;
use crate::safe_fs::read_at_hand;
use crate::server::pieces::{self, Piece};
use crate::store::volume::VolumeFile;

/// Parts up to this size, in bytes, are read before the answer begins, and sent together with its
/// head, if there is enough memory for them.
const AT_ONCE_BYTES: usize = 256 * 1024;
/// The size of the pieces in which other parts are sent, in bytes. The next piece is read when the
/// client has taken the last one.
const PIECE_BYTES: usize = 128 * 1024;

/// The rest of a part that has not been read.
struct Rest {
    file: Arc<VolumeFile>,
    at: u64,
    left: u64,
    /// Whether each piece is first asked of the system's caches.
    is_at_hand: bool,
}

/// A body with `length` bytes of the file from `start` on, of which the first are read here. If the
/// file is shorter, the body ends with an error, because the length has been announced. Blocking.
pub(super) fn of(file: VolumeFile, start: u64, length: u64) -> io::Result<Body> {
    let rest = Rest { file: Arc::new(file), at: start, left: length, is_at_hand: false };
    let (first, rest) = rest.read(first_bytes(length))?;
    Ok(rest.set_aside()?.after(first))
}

/// The same body, of a file that was opened without waiting. `None` if the first bytes are not in the
/// system's caches.
pub(super) fn at_hand(file: VolumeFile, start: u64, length: u64) -> Option<Body> {
    let rest = Rest { file: Arc::new(file), at: start, left: length, is_at_hand: true };
    let (first, rest) = rest.read_at_hand(first_bytes(length)).ok()?;
    Some(rest.after(first))
}

/// The size of the first piece, which is the whole part if that is small.
fn first_bytes(length: u64) -> usize {
    let at_once = pieces::size(AT_ONCE_BYTES);
    match usize::try_from(length) {
        Ok(length) if length <= at_once => length,
        _ => pieces::size(PIECE_BYTES),
    }
}

impl Rest {
    /// The same rest from a local file, if the file must not stay open while a client takes it.
    /// Blocking.
    fn set_aside(mut self) -> io::Result<Self> {
        if self.left > 0
            && let Some(local) = self.file.set_aside(self.at, self.left)?
        {
            (self.file, self.at) = (Arc::new(local), 0);
        }
        Ok(self)
    }

    /// A body of what was read and of what is left.
    fn after(self, first: Bytes) -> Body {
        if self.left == 0 {
            return Body::from(first);
        }
        let following = try_unfold(self, async |rest| {
            if rest.left == 0 {
                return Ok::<_, io::Error>(None);
            }
            rest.next().await.map(Some)
        });
        Body::from_stream(iter([Ok(first)]).chain(following))
    }

    /// Reads the next piece: on this thread if it is at hand, else on a thread that may wait for the
    /// disk.
    async fn next(mut self) -> io::Result<(Bytes, Self)> {
        let most = pieces::size(PIECE_BYTES);
        if self.is_at_hand {
            match self.read_at_hand(most) {
                Ok(piece) => return Ok(piece),
                Err(rest) => self = rest,
            }
        }
        blocking::run(move || self.read(most)).await.map_err(io::Error::other)?
    }

    /// Reads a piece, and waits for the disk if need be. Blocking.
    fn read(self, most: usize) -> io::Result<(Bytes, Self)> {
        let mut piece = self.room(most);
        self.file.read_exact_at(&mut piece.bytes, self.at)?;
        Ok(self.past(piece))
    }

    /// Reads a piece without waiting. Gives itself back where it would have to wait.
    fn read_at_hand(self, most: usize) -> Result<(Bytes, Self), Self> {
        let mut piece = self.room(most);
        if piece.bytes.is_empty() || read_at_hand(&self.file, &mut piece.bytes, self.at) {
            Ok(self.past(piece))
        } else {
            Err(self)
        }
    }

    fn room(&self, most: usize) -> Piece {
        Piece::zeroed(usize::try_from(self.left).unwrap_or(most).min(most))
    }

    fn past(self, piece: Piece) -> (Bytes, Self) {
        let size = piece.bytes.len() as u64;
        (Bytes::from_owner(piece), Self { at: self.at + size, left: self.left - size, ..self })
    }
}
