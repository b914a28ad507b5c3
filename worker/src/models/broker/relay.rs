//! Passes an answer of the API back to the CLI as it arrives, and counts its tokens. A proxy may
//! answer in the API's place, so an answer may have any size, may not end, and may be compressed
//! although that was not asked for.

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
use super::answer::{Body, Refusal, full};
use super::head::Operation;
use super::ledger::{Ledger, Reservation};
use super::usage::UsageReader;
use crate::models::ApiFailure;
use crate::models::providers::Attempt;

/// The largest streamed answer, in bytes. The longest answers of models have half of it.
const MAX_EVENTS_BYTES: usize = 64 << 20;
/// The largest message that is not streamed, in bytes. It is kept until its end, to count its
/// tokens.
const MAX_WHOLE_BYTES: usize = 4 << 20;
/// The largest answer of any other kind, in bytes: an error, or a count of tokens.
const MAX_SHORT_BYTES: usize = 256 << 10;

/// The API's headers that are passed on, in addition to those that begin with
/// `anthropic-ratelimit`.
const ANSWER_HEADERS: [&str; 5] =
    ["content-type", "request-id", "retry-after", "retry-after-ms", "x-should-retry"];

/// The request to which an answer belongs, and what it holds until the end of the answer.
pub(super) struct Asked {
    pub(super) operation: Operation,
    /// The permit of the request. It is given back at the end of the answer, so that the next
    /// request can be forwarded.
    pub(super) turn: OwnedSemaphorePermit,
    /// The reservation of tokens, if the request is for a message.
    pub(super) reservation: Option<Reservation>,
}

/// Turns the API's answer into ours. Its body is read as the CLI reads it.
pub(super) async fn pass_back(
    desk: &Arc<Desk>,
    answer: reqwest::Response,
    asked: Asked,
    attempt: Attempt,
) -> Result<Response<Body>, Refusal> {
    let status = answer.status();
    let Asked { operation, turn, reservation } = asked;
    let failure = ApiFailure::of_status(status.as_u16());
    if let Some(failure) = failure {
        desk.ledger.failed(failure);
    } else if is_encoded(answer.headers()) {
        desk.ledger.failed(ApiFailure::Network);
        attempt.failed(ApiFailure::Network);
        tracing::warn!("the model API encodes its answers although it was asked not to");
        let message = "the model API sent an answer that cannot be read";
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, "api_error", message));
    }
    let mut headers = answer_headers(answer.headers());
    if status == StatusCode::UNAUTHORIZED {
        // A key that was refused stays refused, but the CLI would try again for minutes.
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
        // Only a model may take long; other answers must be complete within this time.
        deadline: (!is_message).then(|| Instant::now() + desk.settings.stall_timeout),
    };
    let body = answer.bytes_stream().map_err(|error| io::Error::other(error.without_url()));
    if let Some(failure) = failure {
        attempt.failed(failure);
        // The API charges nothing for errors.
        Reservation::release(reservation);
        let text = flow.whole(body).await;
        let body = full(desk.providers.redactor().clean(&text));
        return Ok(response(status, headers, body));
    }
    let account = Account::new(Arc::clone(&desk.ledger), reservation, is_events, attempt);
    let body = flow.of(body, Some(account), turn);
    let body = BodyExt::boxed_unsync(StreamBody::new(body.map_ok(Frame::data)));
    Ok(response(status, headers, body))
}

fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The bounds of one answer.
struct Flow {
    /// How many bytes may still come.
    room: usize,
    /// How long a silence may last.
    silence: Duration,
    /// When the whole answer must have come.
    deadline: Option<Instant>,
}

impl Flow {
    /// The body of an answer, limited by these bounds and counted while it passes.
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

    /// A short body, as far as it came within its bounds.
    async fn whole(mut self, body: impl Stream<Item = io::Result<Bytes>>) -> Vec<u8> {
        let mut body = std::pin::pin!(body);
        let mut whole = Vec::new();
        while let Ok(Some(chunk)) = self.next(body.next()).await {
            whole.extend_from_slice(&chunk);
        }
        whole
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

/// Counts one answer and enters it into the ledger. This also happens on drop, because a client
/// that hangs up in the middle has used the tokens too.
struct Account {
    ledger: Arc<Ledger>,
    reader: UsageReader,
    /// The bytes so far of an answer that is not streamed.
    whole: Option<Vec<u8>>,
    reservation: Option<Reservation>,
    /// Told how the provider answered. Where the client hangs up first, that says nothing.
    attempt: Option<Attempt>,
}

impl Account {
    fn new(
        ledger: Arc<Ledger>,
        reservation: Option<Reservation>,
        is_events: bool,
        attempt: Attempt,
    ) -> Self {
        let whole = (!is_events).then(Vec::new);
        let reader = UsageReader::default();
        Self { ledger, reader, whole, reservation, attempt: Some(attempt) }
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

    /// Enters the end of the body, with the failure if there was one. A stream that ends before its
    /// last event counts as a failure of the network.
    fn close(mut self, failure: Option<ApiFailure>) {
        if let (Some(whole), None) = (self.whole.take(), failure) {
            self.reader.read_whole(&whole);
            self.enter();
        }
        let attempt = self.attempt.take();
        if self.reader.complete {
            self.ledger.succeeded();
            if let Some(attempt) = attempt {
                attempt.succeeded();
            }
        } else {
            let failure = failure.unwrap_or(ApiFailure::Network);
            self.ledger.failed(failure);
            if let Some(attempt) = attempt {
                attempt.failed(failure);
            }
        }
    }
}

/// Whether the body is compressed or otherwise encoded.
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
