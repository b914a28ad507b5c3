//! Bodies: bounded in size, time and silence, UTF-8, JSON, and then a type.
//!
//! A body takes memory as it arrives. Beyond a little it needs a place, of which there are few, and
//! a client that sends nothing while others wait for its place loses it. So clients that promise
//! much and send little keep nobody out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body as RawBody, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use serde::de::{Deserialize, DeserializeOwned};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::error::ApiError;
use crate::api::ErrorCode;
use crate::app::App;
use crate::blocking;
use crate::json::Object;

/// Largest JSON body, in bytes: a prompt of the largest size, every character of it escaped.
pub(super) const MAX_JSON_BYTES: usize = 8 << 20;
/// What every body may take without a place.
const FREE_BYTES: usize = 256 * 1024;
/// Bodies with more than that at a time. One takes its size while it arrives and while its files are
/// saved, and up to three times its size for the moment in which it is read.
const PLACES: usize = 2;
/// Longest time for a body to arrive, waiting for a place included.
const WHOLE: Duration = Duration::from_mins(2);
/// Longest silence of a client, and the same while others wait for its place.
const SILENCE: Duration = Duration::from_secs(10);
const SILENCE_WITH_OTHERS: Duration = Duration::from_secs(1);

static FREE_PLACES: Semaphore = Semaphore::const_new(PLACES);
/// Bodies that wait for a place.
static WAITING: AtomicUsize = AtomicUsize::new(0);
/// One body that has a place is read at a time, because reading takes memory too.
static READING: Semaphore = Semaphore::const_new(1);

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let received = Received::receive(request, MAX_JSON_BYTES).await?;
        received.read().await.map(|(value, _)| Self(value))
    }
}

/// A JSON body with files in it, of a size that is set.
#[derive(Debug)]
pub(super) struct LargeBody<T> {
    pub(super) value: T,
    /// To be held for as long as what was in the body.
    pub(super) permit: LargePermit,
}

/// A body that is not read yet.
#[derive(Debug)]
struct Received {
    bytes: Vec<u8>,
    place: LargePermit,
}

/// The right to hold a large body, or what was in it, in memory.
#[derive(Debug, Default)]
pub(super) struct LargePermit(Option<SemaphorePermit<'static>>);

impl<T: DeserializeOwned + Send + 'static> FromRequest<Arc<App>> for LargeBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let received = Received::receive(request, app.settings.max_body_bytes).await?;
        received.read().await.map(|(value, permit)| Self { value, permit })
    }
}

impl LargePermit {
    /// Gives it back.
    pub(super) fn release(self) {
        drop(self.0);
    }

    /// Waits for a place until then.
    async fn take(deadline: Instant) -> Result<Self, ApiError> {
        WAITING.fetch_add(1, Ordering::Relaxed);
        let waited = timeout_at(deadline, FREE_PLACES.acquire()).await;
        WAITING.fetch_sub(1, Ordering::Relaxed);
        let message = "too many large requests at the same time";
        let busy = |_| ApiError::new(ErrorCode::WorkerBusy, message);
        Ok(Self(Some(waited.map_err(busy)?.map_err(|_| ApiError::internal())?)))
    }
}

impl Received {
    async fn receive(request: Request, limit: usize) -> Result<Self, ApiError> {
        check_media_type(&request)?;
        // Known to be too large before a byte of it is read: a client that waits for
        // `100 Continue` never sends it.
        if request.body().size_hint().lower() > limit as u64 {
            return Err(too_large(limit));
        }
        let deadline = Instant::now() + WHOLE;
        let mut body = request.into_body();
        let mut all = Self { bytes: Vec::new(), place: LargePermit::default() };
        while let Some(bytes) = all.next(&mut body, deadline).await? {
            let length = all.bytes.len() + bytes.len();
            if length > limit {
                return Err(too_large(limit));
            }
            if length > FREE_BYTES && all.place.0.is_none() {
                all.place = LargePermit::take(deadline).await?;
            }
            all.bytes.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    /// The next bytes, from a client that makes an effort.
    async fn next(&self, body: &mut RawBody, deadline: Instant) -> Result<Option<Bytes>, ApiError> {
        let silent_since = Instant::now();
        loop {
            let limit = deadline.min(Instant::now() + SILENCE_WITH_OTHERS);
            match timeout_at(limit, body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Ok(Some(Err(_))) => return Err(ApiError::bad_request("the body broke off")),
                Err(_) => {
                    let others_wait = self.place.0.is_some() && WAITING.load(Ordering::Relaxed) > 0;
                    let is_over = Instant::now() >= deadline || silent_since.elapsed() >= SILENCE;
                    if others_wait || is_over {
                        return Err(ApiError::body_timeout());
                    }
                }
            }
        }
    }

    /// Reads the text, on another thread if it is long.
    async fn read<T: DeserializeOwned + Send + 'static>(
        self,
    ) -> Result<(T, LargePermit), ApiError> {
        let Self { bytes, place } = self;
        let read = move || {
            let text = std::str::from_utf8(&bytes);
            parse(text.map_err(|_| ApiError::bad_request("the body is not valid UTF-8"))?)
        };
        if place.0.is_none() {
            return Ok((read()?, place));
        }
        let turn = READING.acquire().await.map_err(|_| ApiError::internal())?;
        let done = blocking::run(move || {
            let done = read();
            drop(turn);
            done
        });
        Ok((done.await??, place))
    }
}

/// A text as a JSON object, and nothing else.
fn parse<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, ApiError> {
    let Object(value) = serde_json::from_str(text)
        .map_err(|error| ApiError::bad_request(format!("the body is not valid: {error}")))?;
    Ok(value)
}

fn too_large(limit: usize) -> ApiError {
    let message = format!("the body is larger than {limit} bytes");
    ApiError::new(ErrorCode::BodyTooLarge, message)
}

/// A body that says that it is something else than JSON is refused; one that says nothing is read.
fn check_media_type(request: &Request) -> Result<(), ApiError> {
    let Some(value) = request.headers().get(CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = "Content-Type must be application/json";
    Err(ApiError::new(ErrorCode::UnsupportedMediaType, message))
}
