//! The bytes of a file as a body.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::stream::try_unfold;

use crate::blocking;
use crate::safe_fs::read_cached;
use crate::store::volume::VolumeFile;

/// Parts up to this size are read before the answer begins, and sent with its head.
const AT_ONCE_BYTES: u64 = 256 * 1024;
/// Size of the pieces of larger parts. The next is read when the last has been taken.
const PIECE_BYTES: u64 = 128 * 1024;

/// What is left of a part.
struct Rest {
    file: Arc<VolumeFile>,
    at: u64,
    left: u64,
}

/// `length` bytes from `start`. A file that turns out to be shorter is an error, so that nothing
/// is ever made up.
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
    /// The next piece, from memory or, on a thread that may wait, from the disk.
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
