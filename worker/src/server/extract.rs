//! Receives JSON bodies: bounds their size, time, silences and memory, and parses them as a type.
//!
//! A body takes memory from a share while it arrives (`share`). While other requests wait for that
//! memory, a client that sends hardly anything loses it. So clients that announce much and send
//! little do not keep others out.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body as RawBody, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use serde::de::{Deserialize, DeserializeOwned};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::error::ApiError;
use super::share::Share;
use crate::api::ErrorCode;
use crate::app::App;
use crate::blocking;
use crate::json::Object;

/// The largest JSON body, in bytes. It has room for the largest prompt with every character
/// escaped.
pub(super) const MAX_JSON_BYTES: usize = 8 << 20;
/// How long a body may take to arrive, including the wait for memory.
const WHOLE: Duration = Duration::from_mins(2);
/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// While other requests wait for the memory of a body, at least this much of it must arrive in each
/// such time.
const PACE: Duration = Duration::from_millis(500);
const PACE_BYTES: usize = 8 << 10;

/// Large bodies are parsed one at a time, because parsing takes up to the size of the body in
/// addition.
static READING: Semaphore = Semaphore::const_new(1);

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T> {
    pub(super) value: T,
    /// The body's share of memory, which must be held as long as the content of the body.
    pub(super) share: Share,
}

/// A JSON body with files in it. A setting limits its size.
#[derive(Debug)]
pub(super) struct LargeBody<T>(pub(super) Body<T>);

/// A large body that has arrived and is not parsed yet.
#[derive(Debug)]
pub(super) struct UnreadBody {
    bytes: Vec<u8>,
    share: Share,
}

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        UnreadBody::receive(request, MAX_JSON_BYTES).await?.read(parse_owned).await
    }
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<Arc<App>> for LargeBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        UnreadBody::from_request(request, app).await?.read(parse_owned).await.map(Self)
    }
}

impl FromRequest<Arc<App>> for UnreadBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        Self::receive(request, app.settings.max_body_bytes).await
    }
}

impl UnreadBody {
    async fn receive(request: Request, limit: usize) -> Result<Self, ApiError> {
        check_media_type(&request)?;
        let announced = request.body().size_hint();
        // A body that is announced as too large is refused before it is read, so a client that
        // waits for `100 Continue` never sends it.
        if announced.lower() > limit as u64 {
            return Err(too_large(limit));
        }
        let share = Share::none(announced.exact());
        let mut client = Client::new(request.into_body());
        let mut all = Self { bytes: Vec::new(), share };
        while let Some(bytes) = client.next(&all.share).await? {
            let length = all.bytes.len() + bytes.len();
            if length > limit {
                return Err(too_large(limit));
            }
            if all.share.grow(length, client.deadline).await? {
                client.begin_pace();
            }
            if all.bytes.capacity() < length {
                // The buffer grows as far as the share allows, but at most to twice its size.
                let most =
                    announced.exact().map_or(limit, |exact| exact.try_into().unwrap_or(limit));
                let room = all.share.room(length).min(most).max(length);
                all.bytes.reserve_exact(room - all.bytes.len());
            }
            all.bytes.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    /// Parses the text, on another thread if it may take long.
    pub(super) async fn read<T: Send + 'static>(
        self,
        read: impl FnOnce(&str) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<Body<T>, ApiError> {
        let Self { bytes, share } = self;
        let is_large = share.is_large();
        let read = move || {
            let text = std::str::from_utf8(&bytes);
            read(text.map_err(|_| ApiError::bad_request("the body is not valid UTF-8"))?)
        };
        let value = if is_large {
            let turn = READING.acquire().await.map_err(|_| ApiError::internal())?;
            let done = blocking::run(move || {
                let done = read();
                drop(turn);
                done
            });
            done.await??
        } else {
            read()?
        };
        Ok(Body { value, share })
    }
}

/// A client that is sending a body, and its pace.
struct Client {
    body: RawBody,
    deadline: Instant,
    heard_at: Instant,
    /// When the pace was checked last, and how many bytes have come since.
    pace_began: Instant,
    pace_bytes: usize,
}

impl Client {
    fn new(body: RawBody) -> Self {
        let now = Instant::now();
        Self { body, deadline: now + WHOLE, heard_at: now, pace_began: now, pace_bytes: 0 }
    }

    /// Begins to measure the pace anew, after a wait that was not the client's fault.
    fn begin_pace(&mut self) {
        self.heard_at = Instant::now();
        (self.pace_began, self.pace_bytes) = (self.heard_at, 0);
    }

    /// Waits for the next bytes. Fails if the client is silent for too long or, while other
    /// requests wait for its share, too slow.
    async fn next(&mut self, share: &Share) -> Result<Option<Bytes>, ApiError> {
        loop {
            let late_at = self.deadline.min(self.heard_at + SILENCE);
            let look_at = late_at.min(self.pace_began + PACE);
            match timeout_at(look_at, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    let Ok(bytes) = frame.into_data() else { continue };
                    self.heard_at = Instant::now();
                    self.pace_bytes += bytes.len();
                    self.look(share)?;
                    return Ok(Some(bytes));
                }
                Ok(Some(Err(_))) => return Err(ApiError::bad_request("the body broke off")),
                Err(_) if Instant::now() >= late_at => return Err(ApiError::body_timeout()),
                Err(_) => self.look(share)?,
            }
        }
    }

    /// Checks the pace, if it is time for that.
    fn look(&mut self, share: &Share) -> Result<(), ApiError> {
        if self.pace_began.elapsed() < PACE {
            return Ok(());
        }
        self.pace_began = Instant::now();
        let bytes = std::mem::take(&mut self.pace_bytes);
        if bytes < PACE_BYTES && share.is_wanted() {
            return Err(ApiError::body_timeout());
        }
        Ok(())
    }
}

/// Parses a text that must be one JSON object.
pub(super) fn parse<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, ApiError> {
    let Object(value) = serde_json::from_str(text)
        .map_err(|error| ApiError::bad_request(format!("the body is not valid: {error}")))?;
    Ok(value)
}

/// The same, for types that do not borrow from the text.
fn parse_owned<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    parse(text)
}

fn too_large(limit: usize) -> ApiError {
    let message = format!("the body is larger than {limit} bytes");
    ApiError::new(ErrorCode::BodyTooLarge, message)
}

/// Refuses a body that is declared as something else than JSON. A body without a declared type is
/// accepted.
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
