//! The body of an answer with the bytes of a file.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::stream::try_unfold;

use crate::blocking;
use crate::safe_fs::read_cached;
use crate::store::volume::VolumeFile;

/// Parts up to this size, in bytes, are read before the answer begins, and sent together with its
/// head.
const AT_ONCE_BYTES: u64 = 256 * 1024;
/// The size of the pieces in which larger parts are sent, in bytes. The next piece is read when the
/// client has taken the last one.
const PIECE_BYTES: u64 = 128 * 1024;

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
    if length <= AT_ONCE_BYTES {
        let (piece, _) = rest.next(AT_ONCE_BYTES).await?;
        return Ok(Body::from(piece));
    }
    Ok(Body::from_stream(try_unfold(rest, async |rest| {
        if rest.left == 0 {
            return Ok::<_, io::Error>(None);
        }
        rest.next(PIECE_BYTES).await.map(Some)
    })))
}

impl Rest {
    /// Reads the next piece: on this thread if it is in memory, else on a thread that may wait for
    /// the disk.
    async fn next(self, most: u64) -> io::Result<(Bytes, Self)> {
        let Self { file, at, left } = self;
        let size = left.min(most);
        let mut piece = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        if !read_cached(&file, &mut piece, at) {
            let file = Arc::clone(&file);
            let read = blocking::run(move || {
                file.read_exact_at(&mut piece, at)?;
                Ok::<_, io::Error>(piece)
            });
            piece = read.await.map_err(io::Error::other)??;
        }
        Ok((piece.into(), Self { file, at: at + size, left: left - size }))
    }
}
