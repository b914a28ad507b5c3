//! Receives bodies that are files: the bytes themselves, or one part of a form.
//!
//! The bytes are passed in pieces to a thread that may wait for the disk, and no more is read from
//! the client until a piece is written. So the memory of an upload does not depend on its size.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::http::{HeaderMap, header::CONTENT_TYPE};
use futures_util::{Stream, StreamExt as _};
use multer::{Constraints, Multipart, SizeLimit};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::ApiError;
use super::pieces::{self, Piece};
use crate::api::ErrorCode;
use crate::api::request::{UPLOAD_SILENCE, UPLOAD_WITHIN};
use crate::blocking;
use crate::store::assets::{Asset, AssetError, Upload};
use crate::types::FileName;

/// How long the rest of a refused body is read.
const LINGER: Duration = Duration::from_secs(5);
/// How much is collected before it is written, in bytes, if there is memory for it.
const PIECE_BYTES: usize = 256 * 1024;
/// How many bytes a form may have in addition to the file, for boundaries, headers and small
/// fields.
const FORM_BYTES: u64 = 64 * 1024;
/// The largest number of parts in a form.
const MAX_PARTS: usize = 16;

/// Reads the body into an upload and finishes it. `named` is the name in the query; without one,
/// the name in the form counts.
pub(super) async fn receive(
    upload: Upload,
    headers: &HeaderMap,
    body: Body,
    named: Option<FileName>,
    max_bytes: u64,
) -> Result<Asset, ApiError> {
    let boundary = boundary(headers)?;
    // A body that is announced as too large is refused before it is read, so a client that waits
    // for `100 Continue` never sends it.
    let most = if boundary.is_some() { max_bytes.saturating_add(FORM_BYTES) } else { max_bytes };
    if body.size_hint().lower() > most {
        return Err(AssetError::TooLarge(max_bytes).into());
    }
    let mut pending = Pending::new(upload, max_bytes);
    let mut stream = body.into_data_stream();
    let taken = match (boundary, named) {
        (Some(boundary), named) => pending.take_form(&mut stream, &boundary, named, most).await,
        (None, Some(name)) => pending.take(&mut stream).await.map(|()| name),
        (None, None) => return Err(ApiError::bad_request("filename: is required")),
    };
    match taken {
        Ok(name) => pending.finish(name).await,
        Err(error) => {
            // The rest of the body is read first. If the connection were closed while the client is
            // still sending, the client would not get the answer.
            drop(pending);
            drop(timeout(LINGER, discard(stream, most)).await);
            Err(error)
        }
    }
}

/// Reads and drops the rest of a body, up to `most` bytes.
async fn discard(mut stream: BodyDataStream, most: u64) {
    let mut left = most;
    while let Some(Ok(bytes)) = stream.next().await {
        left = left.saturating_sub(bytes.len() as u64);
        if left == 0 {
            return;
        }
    }
}

/// The boundary of a form. `None` if the body is not a form.
fn boundary(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("multipart/form-data") {
        return Ok(None);
    }
    let bad = |_| ApiError::bad_request("the form's boundary is missing or malformed");
    multer::parse_boundary(text).map(Some).map_err(bad)
}

/// An upload that is being received. If it is dropped with its request, it is removed on a thread
/// that may wait for the disk.
struct Pending {
    upload: Option<Upload>,
    piece: Option<Piece>,
    /// How many bytes may still come.
    room: u64,
    max_bytes: u64,
    deadline: Instant,
}

impl Pending {
    fn new(upload: Upload, max_bytes: u64) -> Self {
        Self {
            upload: Some(upload),
            piece: Some(Piece::with_room(pieces::size(PIECE_BYTES))),
            room: max_bytes,
            max_bytes,
            deadline: Instant::now() + UPLOAD_WITHIN,
        }
    }

    /// Takes all bytes of a body or of a part of a form.
    async fn take<E: Into<Broken>>(
        &mut self,
        stream: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<(), ApiError> {
        let mut stream = std::pin::pin!(stream);
        while let Some(bytes) = self.in_time(stream.next()).await? {
            let bytes = bytes.map_err(|error| error.into().answer())?;
            // Checked here and not when the bytes are written, because they may not fill a piece.
            let left = self.room.checked_sub(bytes.len() as u64);
            self.room = left.ok_or(AssetError::TooLarge(self.max_bytes))?;
            let piece = self.piece.as_mut().ok_or_else(ApiError::internal)?;
            piece.bytes.extend_from_slice(&bytes);
            if piece.bytes.len() >= piece.room() {
                self.write().await?;
            }
        }
        Ok(())
    }

    /// Takes the only file of a form, and returns its name.
    async fn take_form(
        &mut self,
        stream: &mut BodyDataStream,
        boundary: &str,
        named: Option<FileName>,
        most: u64,
    ) -> Result<FileName, ApiError> {
        let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(most));
        let left = Arc::new(AtomicU64::new(0));
        let stream = one_at_a_time(stream, Arc::clone(&left));
        let mut form = Multipart::with_constraints(stream, boundary, limits);
        let mut found = None;
        for _ in 0..MAX_PARTS {
            // The reader of forms keeps all of what it has not understood yet.
            left.store(FORM_BYTES, Ordering::Relaxed);
            let next = self.in_time(form.next_field()).await?;
            let Some(field) = next.map_err(|error| Broken::from(error).answer())? else {
                return found.ok_or_else(|| ApiError::bad_request("the form holds no file"));
            };
            let Some(sent) = field.file_name().map(str::to_owned) else {
                // A field that is not the file. The next call skips it.
                continue;
            };
            if found.is_some() {
                return Err(ApiError::bad_request("the form holds more than one file"));
            }
            let name = match &named {
                Some(name) => name.clone(),
                None => sent
                    .parse()
                    .map_err(|error| ApiError::bad_request(format!("the file's name: {error}")))?,
            };
            left.store(u64::MAX, Ordering::Relaxed);
            self.take(field).await?;
            found = Some(name);
        }
        Err(ApiError::bad_request(format!("the form has more than {MAX_PARTS} parts")))
    }

    async fn in_time<T>(&self, next: impl Future<Output = T>) -> Result<T, ApiError> {
        let late = |_| ApiError::body_timeout();
        timeout_at(self.deadline, timeout(UPLOAD_SILENCE, next)).await.map_err(late)?.map_err(late)
    }

    /// Writes the collected bytes on a thread that may wait for the disk.
    async fn write(&mut self) -> Result<(), ApiError> {
        let mut upload = self.upload.take().ok_or_else(ApiError::internal)?;
        let mut piece = self.piece.take().ok_or_else(ApiError::internal)?;
        let written = blocking::run(move || {
            // If this fails, the upload is dropped here, on a thread that may wait.
            upload.write(&piece.bytes)?;
            piece.bytes.clear();
            piece.bytes.shrink_to(piece.room());
            Ok::<_, AssetError>((upload, piece))
        });
        let (upload, piece) = written.await??;
        (self.upload, self.piece) = (Some(upload), Some(piece));
        Ok(())
    }

    async fn finish(mut self, name: FileName) -> Result<Asset, ApiError> {
        self.write().await?;
        let upload = self.upload.take().ok_or_else(ApiError::internal)?;
        Ok(blocking::run(move || upload.finish(name)).await??)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            blocking::detach(move || drop(upload));
        }
    }
}

/// Why a body could not be read to its end.
enum Broken {
    TooLarge,
    Off,
    Form(String),
}

impl Broken {
    fn answer(self) -> ApiError {
        match self {
            Self::TooLarge => {
                let message = "the body is larger than an asset may be";
                ApiError::new(ErrorCode::BodyTooLarge, message)
            }
            Self::Off => ApiError::bad_request("the body broke off"),
            Self::Form(reason) => ApiError::bad_request(format!("the form is malformed: {reason}")),
        }
    }
}

impl From<axum::Error> for Broken {
    fn from(_: axum::Error) -> Self {
        Self::Off
    }
}

impl From<multer::Error> for Broken {
    fn from(error: multer::Error) -> Self {
        match error {
            multer::Error::StreamSizeExceeded { .. } => Self::TooLarge,
            multer::Error::StreamReadFailed(error) if error.is::<HeadTooLong>() => {
                Self::Form(error.to_string())
            }
            multer::Error::StreamReadFailed(_) => Self::Off,
            other => Self::Form(other.to_string()),
        }
    }
}

/// More came between two files of a form, or before the first, than belongs there.
#[derive(Debug, thiserror::Error)]
#[error("too much stands before a file")]
struct HeadTooLong;

/// What the reader of forms gets instead of a piece.
type FormError = Box<dyn std::error::Error + Send + Sync>;

/// The reader of forms takes all that a stream has before it looks at any of it. This one seems to
/// have nothing more after each piece, so that never more than a piece is held of a file. It gives
/// at most `left` bytes, because the reader holds what is no file until it has seen its end.
fn one_at_a_time<E: Into<FormError>>(
    stream: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
    left: Arc<AtomicU64>,
) -> impl Stream<Item = Result<Bytes, FormError>> + Send {
    let mut stream = stream;
    let mut rest = false;
    futures_util::stream::poll_fn(move |context| {
        rest = !rest;
        if !rest {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = stream.poll_next_unpin(context);
        if polled.is_pending() {
            // No piece was passed on, so no pause is needed.
            rest = false;
        }
        let give = |bytes: Bytes| {
            let more = left.load(Ordering::Relaxed).checked_sub(bytes.len() as u64);
            left.store(more.ok_or(HeadTooLong)?, Ordering::Relaxed);
            Ok(bytes)
        };
        polled.map(|next| next.map(|piece| piece.map_err(Into::into).and_then(give)))
    })
}
