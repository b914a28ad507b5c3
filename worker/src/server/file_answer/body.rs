//! The body of an answer with the bytes of a file.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::stream::try_unfold;

use crate::blocking;
use crate::safe_fs::read_cached;
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
}

/// A body with `length` bytes of the file from `start` on. If the file is shorter, the body ends
/// with an error, because the length has been announced.
pub(super) async fn of(file: VolumeFile, start: u64, length: u64) -> io::Result<Body> {
    let rest = Rest { file: Arc::new(file), at: start, left: length };
    if length == 0 {
        return Ok(Body::empty());
    }
    if length <= pieces::size(AT_ONCE_BYTES) as u64 {
        let (piece, _) = rest.next(AT_ONCE_BYTES).await?;
        return Ok(Body::from(piece));
    }
    Ok(Body::from_stream(try_unfold(rest, async |rest| {
        if rest.left == 0 {
            return Ok::<_, io::Error>(None);
        }
        rest.next(pieces::size(PIECE_BYTES)).await.map(Some)
    })))
}

impl Rest {
    /// Reads the next piece: on this thread if it is in memory, else on a thread that may wait for
    /// the disk.
    async fn next(self, most: usize) -> io::Result<(Bytes, Self)> {
        let Self { file, at, left } = self;
        let size = usize::try_from(left).unwrap_or(most).min(most);
        let mut piece = Piece::zeroed(size);
        if !read_cached(&file, &mut piece.bytes, at) {
            let file = Arc::clone(&file);
            let read = blocking::run(move || {
                file.read_exact_at(&mut piece.bytes, at)?;
                Ok::<_, io::Error>(piece)
            });
            piece = read.await.map_err(io::Error::other)??;
        }
        let size = size as u64;
        Ok((Bytes::from_owner(piece), Self { file, at: at + size, left: left - size }))
    }
}
