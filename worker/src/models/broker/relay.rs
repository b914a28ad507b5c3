//! Passing an answer of the API back as it comes, with its tokens counted. The API may be behind
//! something else that answers in its name, so nothing about an answer is taken for granted: not
//! its size, not its end, and not that it was left uncompressed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::Desk;
use super::answer::{Body, Refusal};
use super::head::Operation;
use super::ledger::{ApiFailure, Ledger, Reservation};
use super::usage::UsageReader;

/// Largest answer that comes as events. The longest that models give have half of it.
const MAX_EVENTS_BYTES: usize = 64 << 20;
/// Largest message that comes in one piece. It is kept until its end, to count its tokens.
const MAX_WHOLE_BYTES: usize = 4 << 20;
/// Largest answer of any other kind: an error, or a number of tokens.
const MAX_SHORT_BYTES: usize = 256 << 10;

/// Headers of the API that the CLI gets to see, beside those that begin with `anthropic-ratelimit`.
const ANSWER_HEADERS: [&str; 5] =
    ["content-type", "request-id", "retry-after", "retry-after-ms", "x-should-retry"];

/// What an answer belongs to, and holds until its end.
pub(super) struct Asked {
    pub(super) operation: Operation,
    /// Given back at the end of the answer, so that the next request may be asked.
    pub(super) turn: OwnedSemaphorePermit,
    /// What a message may cost.
    pub(super) reservation: Option<Reservation>,
}

/// Turns the API's answer into ours. Its body is read as the CLI reads it.
pub(super) fn pass_back(
    desk: &Arc<Desk>,
    answer: reqwest::Response,
    asked: Asked,
) -> Result<Response<Body>, Refusal> {
    let status = answer.status();
    let Asked { operation, turn, reservation } = asked;
    if let Some(failure) = ApiFailure::of_status(status.as_u16()) {
        desk.ledger.failed(failure);
    } else if is_encoded(answer.headers()) {
        desk.ledger.failed(ApiFailure::Network);
        tracing::warn!("the model API encodes its answers although it was asked not to");
        let message = "the model API sent an answer that cannot be read";
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, "api_error", message));
    }
    let mut headers = answer_headers(answer.headers());
    if status == StatusCode::UNAUTHORIZED {
        // A refused key stays refused; the CLI would try for minutes.
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    let is_events = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let is_message = status.is_success() && operation == Operation::Messages;
    let flow = Flow {
        room: match (is_message, is_events) {
            (true, true) => MAX_EVENTS_BYTES,
            (true, false) => MAX_WHOLE_BYTES,
            (false, _) => MAX_SHORT_BYTES,
        },
        silence: desk.settings.stall_timeout,
        // The others are at hand; only a model takes its time.
        deadline: (!is_message).then(|| Instant::now() + desk.settings.stall_timeout),
    };
    let account = if status.is_success() {
        Some(Account::new(Arc::clone(&desk.ledger), reservation, is_events))
    } else {
        // The API charges nothing for errors.
        Reservation::release(reservation);
        None
    };
    let body = answer.bytes_stream().map_err(|error| io::Error::other(error.without_url()));
    let body = flow.of(body, account, turn);
    let body = BodyExt::boxed_unsync(StreamBody::new(body.map_ok(Frame::data)));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The bounds of one answer.
struct Flow {
    /// Bytes that may come.
    room: usize,
    /// Longest silence.
    silence: Duration,
    /// When the whole must have come.
    deadline: Option<Instant>,
}

impl Flow {
    /// The body within its bounds, entered into the account as it passes.
    fn of(
        mut self,
        body: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        mut account: Option<Account>,
        turn: OwnedSemaphorePermit,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send {
        async_stream::stream! {
            let _turn = turn;
            let mut body = std::pin::pin!(body);
            loop {
                let (error, failure) = match self.next(body.next()).await {
                    Ok(Some(chunk)) => {
                        if let Some(account) = &mut account {
                            account.read(&chunk);
                        }
                        yield Ok(chunk);
                        continue;
                    }
                    Ok(None) => (None, None),
                    Err((error, failure)) => (Some(error), Some(failure)),
                };
                if let Some(account) = account.take() {
                    account.close(failure);
                }
                if let Some(error) = error {
                    yield Err(error);
                }
                return;
            }
        }
    }

    async fn next(
        &mut self,
        chunk: impl Future<Output = Option<io::Result<Bytes>>>,
    ) -> Result<Option<Bytes>, (io::Error, ApiFailure)> {
        let silent_until = Instant::now() + self.silence;
        let until = self.deadline.map_or(silent_until, |deadline| deadline.min(silent_until));
        match timeout_at(until, chunk).await {
            Ok(Some(Ok(chunk))) => match self.room.checked_sub(chunk.len()) {
                Some(room) => {
                    self.room = room;
                    Ok(Some(chunk))
                }
                None => Err((io::ErrorKind::FileTooLarge.into(), ApiFailure::Network)),
            },
            Ok(Some(Err(error))) => Err((error, ApiFailure::Network)),
            Ok(None) => Ok(None),
            Err(_) => Err((io::ErrorKind::TimedOut.into(), ApiFailure::Timeout)),
        }
    }
}

/// One answer's entry in the ledger. It is made on drop as well, because a client that hangs up in
/// the middle has used the tokens all the same.
struct Account {
    ledger: Arc<Ledger>,
    reader: UsageReader,
    /// An answer in one piece, as far as it has come.
    whole: Option<Vec<u8>>,
    reservation: Option<Reservation>,
}

impl Account {
    fn new(ledger: Arc<Ledger>, reservation: Option<Reservation>, is_events: bool) -> Self {
        let whole = (!is_events).then(Vec::new);
        Self { ledger, reader: UsageReader::default(), whole, reservation }
    }

    fn read(&mut self, chunk: &[u8]) {
        self.ledger.progressed();
        match &mut self.whole {
            None => self.reader.read(chunk),
            Some(whole) => whole.extend_from_slice(chunk),
        }
        self.enter();
    }

    fn enter(&mut self) {
        if let Some(reservation) = &mut self.reservation {
            reservation.said(self.reader.tokens, self.reader.is_final());
        }
    }

    /// The body ended, by `failure` or by itself; a stream that ends by itself too early was cut.
    fn close(mut self, failure: Option<ApiFailure>) {
        if let (Some(whole), None) = (self.whole.take(), failure) {
            self.reader.read_whole(&whole);
            self.enter();
        }
        if self.reader.complete {
            self.ledger.succeeded();
        } else {
            self.ledger.failed(failure.unwrap_or(ApiFailure::Network));
        }
    }
}

/// Whether the body is compressed, or otherwise not what it stands for.
fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|encoding| encoding != "identity")
}

fn answer_headers(from: &HeaderMap) -> HeaderMap {
    from.iter()
        .filter(|(name, _)| {
            ANSWER_HEADERS.contains(&name.as_str())
                || name.as_str().starts_with("anthropic-ratelimit")
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
