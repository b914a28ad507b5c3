//! One request: checked, given the real key, forwarded, and its answer streamed back.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::time::timeout;

use super::Desk;
use super::answer::{Body, empty, error};
use super::check::{self, Operation};
use super::ledger::{ApiFailure, Ledger};
use super::usage::UsageReader;
use crate::types::Secret;

/// Largest request, in bytes; the API's own limit. Requests are held whole, because they are
/// checked before the key is spent on them; answers are streamed.
const MAX_REQUEST_BYTES: usize = 32 << 20;
/// Largest answer that is not streamed, for counting its tokens.
const MAX_COUNTED_BYTES: usize = 4 << 20;

/// Headers of the CLI that the API gets to see.
const REQUEST_HEADERS: [&str; 6] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "anthropic-dangerous-direct-browser-access",
    "content-type",
    "user-agent",
];

/// Headers of the API that the CLI gets to see, beside those that begin with `anthropic-ratelimit`.
const ANSWER_HEADERS: [&str; 5] =
    ["content-type", "request-id", "retry-after", "retry-after-ms", "x-should-retry"];

pub(super) async fn handle(desk: &Arc<Desk>, request: Request<Incoming>) -> Response<Body> {
    let Some(operation) = Operation::of(request.method(), request.uri()) else {
        let message = "this broker serves /v1/messages and /v1/messages/count_tokens only";
        return error(StatusCode::NOT_FOUND, "not_found_error", message);
    };
    if operation == Operation::Hello {
        return empty(StatusCode::OK);
    }
    if !check::has_token(request.headers(), &desk.token) {
        let message = "the token of this run is missing or wrong";
        return error(StatusCode::UNAUTHORIZED, "authentication_error", message);
    }
    let target = format!("{}{}", desk.settings.base_url, path_and_query(&request));
    let headers = request_headers(request.headers());
    let body = match Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            let message = "the request is too large or broke off";
            return error(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message);
        }
    };
    let parsed = match check::Request::parse(&body, &desk.settings.allowed_models) {
        Ok(parsed) => parsed,
        Err(reason) => {
            desk.ledger.failed(ApiFailure::Refused);
            return error(StatusCode::BAD_REQUEST, "invalid_request_error", &reason);
        }
    };
    if operation == Operation::Messages && desk.ledger.admit().is_err() {
        // 400, because the CLI would repeat a 429.
        let message = "the budget of this run is used up";
        return error(StatusCode::BAD_REQUEST, "invalid_request_error", message);
    }
    let Some(key) = &desk.settings.api_key else {
        desk.ledger.failed(ApiFailure::Auth);
        let message = "the worker has no API key (ANTHROPIC_API_KEY)";
        return error(StatusCode::UNAUTHORIZED, "authentication_error", message);
    };
    send(desk, target, headers, key, body, parsed.stream).await
}

async fn send(
    desk: &Arc<Desk>,
    target: String,
    headers: HeaderMap,
    key: &Secret,
    body: Bytes,
    stream: bool,
) -> Response<Body> {
    let request = desk.client.post(target).headers(headers).header("x-api-key", key.expose());
    // An answer in one piece begins when the model is done, which takes longer.
    let wait = if stream { desk.settings.first_byte_timeout } else { desk.settings.give_up };
    let asked = Instant::now();
    let answer = match timeout(wait, request.body(body).send()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(failure)) => {
            // The text of the error may hold the address, which is no secret, but never the key.
            tracing::debug!(error = %failure.without_url(), "the model API cannot be reached");
            desk.ledger.failed(ApiFailure::Network);
            return error(StatusCode::BAD_GATEWAY, "api_error", "the model API cannot be reached");
        }
        Err(_) => {
            desk.ledger.failed_since(ApiFailure::Timeout, asked);
            let message = "the model API did not answer in time";
            return error(StatusCode::GATEWAY_TIMEOUT, "timeout_error", message);
        }
    };
    pass_back(desk, answer)
}

/// Turns the API's answer into ours. Its body is read as the CLI reads it.
fn pass_back(desk: &Arc<Desk>, answer: reqwest::Response) -> Response<Body> {
    let status = answer.status();
    if let Some(failure) = ApiFailure::of_status(status.as_u16()) {
        desk.ledger.failed(failure);
    }
    let mut headers = answer_headers(answer.headers());
    if status == StatusCode::UNAUTHORIZED {
        // A refused key stays refused; the CLI would try for minutes.
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    let events = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let ledger = Arc::clone(&desk.ledger);
    let body = counted(
        answer.bytes_stream().map_err(|e| io::Error::other(e.without_url())),
        status.is_success().then_some(ledger),
        events,
        desk.settings.stall_timeout,
    );
    let mut response =
        Response::new(BodyExt::boxed_unsync(StreamBody::new(body.map_ok(Frame::data))));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The body with its tokens counted and its silences bounded. `ledger` is only given where the
/// answer is a success so far.
fn counted(
    body: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ledger: Option<Arc<Ledger>>,
    events: bool,
    stall_timeout: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    async_stream::stream! {
        let mut account = ledger.map(|ledger| Account::new(ledger, events));
        let mut body = std::pin::pin!(body);
        loop {
            let (item, failure) = match timeout(stall_timeout, body.next()).await {
                Ok(Some(Ok(chunk))) => {
                    if let Some(account) = &mut account {
                        account.read(&chunk);
                    }
                    yield Ok(chunk);
                    continue;
                }
                Ok(None) => (None, None),
                Ok(Some(Err(error))) => (Some(error), Some(ApiFailure::Network)),
                Err(_) => (Some(io::ErrorKind::TimedOut.into()), Some(ApiFailure::Timeout)),
            };
            if let Some(account) = account.take() {
                account.close(failure);
            }
            if let Some(error) = item {
                yield Err(error);
            }
            return;
        }
    }
}

/// One answer's entry in the ledger. Tokens are entered on drop as well, because a CLI that hangs
/// up in the middle has used them all the same.
struct Account {
    ledger: Arc<Ledger>,
    reader: UsageReader,
    whole: Option<Vec<u8>>,
}

impl Account {
    fn new(ledger: Arc<Ledger>, events: bool) -> Self {
        Self { ledger, reader: UsageReader::default(), whole: (!events).then(Vec::new) }
    }

    fn read(&mut self, chunk: &[u8]) {
        self.ledger.progressed();
        match &mut self.whole {
            None => self.reader.read(chunk),
            Some(whole) if whole.len() + chunk.len() <= MAX_COUNTED_BYTES => {
                whole.extend_from_slice(chunk);
            }
            // Too long to be looked at, and so to be found wanting.
            Some(_) => self.reader.complete = true,
        }
    }

    /// The body ended, by `failure` or by itself; a stream that ends by itself too early was cut.
    fn close(mut self, failure: Option<ApiFailure>) {
        if let (Some(whole), None, false) = (self.whole.take(), failure, self.reader.complete) {
            self.reader.read_whole(&whole);
        }
        if self.reader.complete {
            self.ledger.succeeded();
        } else {
            self.ledger.failed(failure.unwrap_or(ApiFailure::Network));
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.ledger.add_tokens(self.reader.input, self.reader.output);
    }
}

fn path_and_query(request: &Request<Incoming>) -> &str {
    request.uri().path_and_query().map_or("/", |both| both.as_str())
}

fn request_headers(from: &HeaderMap) -> HeaderMap {
    let mut to = HeaderMap::new();
    for name in REQUEST_HEADERS {
        for value in from.get_all(name) {
            if let Ok(name) = name.parse::<hyper::header::HeaderName>() {
                to.append(name, value.clone());
            }
        }
    }
    // A compressed answer could not be counted.
    to.insert("accept-encoding", HeaderValue::from_static("identity"));
    to
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
