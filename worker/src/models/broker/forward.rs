//! Handles one request: checks it, adds the real key, and forwards it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Desk;
use super::answer::{Body, Refusal, empty, error};
use super::body;
use super::check;
use super::head::{self, Operation};
use super::ledger::{ApiFailure, Denied, Reservation, Tokens};
use super::relay::{Asked, pass_back};
use crate::blocking;
use crate::types::Secret;

/// Bodies up to this size, in bytes, are checked at once. Larger ones are checked a few at a time.
const SMALL_BYTES: usize = 1 << 20;
/// The number of bytes of a request that make one token at the least: three in Japanese, four in
/// English.
const BYTES_A_TOKEN: usize = 3;
/// The largest number of tokens that a model reads. The API refuses more.
const MAX_INPUT_TOKENS: u64 = 1_000_000;

/// A request that was checked and may be forwarded.
struct Checked {
    body: Bytes,
    request: check::Request,
    headers: HeaderMap,
    turn: OwnedSemaphorePermit,
}

pub(super) async fn handle(desk: &Arc<Desk>, request: Request<Incoming>) -> Response<Body> {
    answer(desk, request).await.unwrap_or_else(Refusal::into_answer)
}

async fn answer(desk: &Arc<Desk>, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let (parts, mut body) = request.into_parts();
    let has_token = head::has_token(&parts.headers, &desk.token);
    if has_token || desk.is_private {
        desk.ledger.arrived()?;
    }
    let Some(operation) = Operation::of(&parts.method, &parts.uri) else {
        let message = "this broker serves /v1/messages and /v1/messages/count_tokens only";
        return Err(Refusal::new(StatusCode::NOT_FOUND, "not_found_error", message));
    };
    if operation == Operation::Hello {
        return Ok(empty(StatusCode::OK));
    }
    if !has_token {
        let message = "the token of this run is missing or wrong";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "authentication_error", message));
    }
    let target = match parts.uri.path_and_query() {
        Some(path) => format!("{}{path}", desk.settings.base_url),
        None => desk.settings.base_url.clone(),
    };
    let (checked, reservation) = match admit(desk, operation, &parts, &mut body).await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            desk.ledger.refused();
            if !head::waits(&parts.headers) {
                body::discard(&mut body).await;
            }
            return Err(refusal);
        }
    };
    let Some(key) = &desk.settings.api_key else {
        desk.ledger.failed(ApiFailure::Auth);
        Reservation::release(reservation);
        let message = "the worker has no API key (ANTHROPIC_API_KEY)";
        return Ok(error(StatusCode::UNAUTHORIZED, "authentication_error", message));
    };
    let asked = Asked { operation, turn: checked.turn, reservation };
    // An answer that does not stream begins when the model has finished, which takes longer.
    let is_slow = operation == Operation::Messages && !checked.request.stream;
    let settings = &desk.settings;
    let wait = if is_slow { settings.give_up } else { settings.first_byte_timeout };
    send(desk, target, checked.headers, key, checked.body, wait, asked).await
}

/// Does everything that a request must pass before it is sent with the real key.
async fn admit(
    desk: &Arc<Desk>,
    operation: Operation,
    parts: &Parts,
    body: &mut Incoming,
) -> Result<(Checked, Option<Reservation>), Refusal> {
    let checked = check(desk, operation, parts, body).await?;
    if operation == Operation::CountTokens {
        return Ok((checked, None));
    }
    let Some(max_tokens) = checked.request.max_tokens else {
        return Err(Refusal::invalid("max_tokens: Field required"));
    };
    let input = u64::try_from(checked.body.len() / BYTES_A_TOKEN).unwrap_or(u64::MAX);
    let estimate = Tokens { input: input.min(MAX_INPUT_TOKENS), output: max_tokens };
    match desk.ledger.admit(estimate) {
        Ok(reservation) => Ok((checked, Some(reservation))),
        // Status 400, because the CLI would repeat the request after a 429.
        Err(Denied::UsedUp) => Err(Refusal::invalid("the budget of this run is used up")),
        Err(Denied::UnderWay) => {
            Err(Refusal::not_now("messages under way may use up the budget of this run"))
        }
    }
}

/// Receives a whole request and checks it.
async fn check(
    desk: &Arc<Desk>,
    operation: Operation,
    parts: &Parts,
    body: &mut Incoming,
) -> Result<Checked, Refusal> {
    let length = head::body_length(&parts.headers)?;
    let headers = head::forwarded(&parts.headers, &desk.settings.allowed_betas)?;
    let turns = if operation == Operation::Messages { &desk.messages } else { &desk.counts };
    let turn = take_turn(turns, desk.settings.first_byte_timeout).await?;
    let body = {
        // No code closes this semaphore or the others, so this cannot fail.
        let _arrival = desk.arrivals.acquire().await.ok();
        body::receive(body, length, &desk.room, &desk.ledger).await?
    };
    let request = parse(desk, body.clone()).await?;
    Ok(Checked { body, request, headers, turn })
}

async fn take_turn(
    turns: &Arc<Semaphore>,
    wait: Duration,
) -> Result<OwnedSemaphorePermit, Refusal> {
    let turn = timeout(wait, Arc::clone(turns).acquire_owned()).await;
    turn.ok().and_then(Result::ok).ok_or_else(|| {
        Refusal::not_now("too many requests of this run are under way at the same time")
    })
}

/// Checks a body. A large one takes a tenth of a second, so it is checked on a thread that may be
/// kept busy. One body of a run is checked at a time, and a few large ones of all runs together.
async fn parse(desk: &Arc<Desk>, body: Bytes) -> Result<check::Request, Refusal> {
    let _one = desk.checks.acquire().await.ok();
    let is_large = body.len() > SMALL_BYTES;
    let _few = if is_large { desk.large_checks.acquire().await.ok() } else { None };
    let settings = Arc::clone(&desk.settings);
    let read = blocking::run(move || check::Request::parse(&body, &settings.allowed_models)).await;
    let result = read.map_err(|_| Refusal::invalid("the request cannot be read"))?;
    result.map_err(Refusal::invalid)
}

async fn send(
    desk: &Arc<Desk>,
    target: String,
    headers: HeaderMap,
    key: &Secret,
    body: Bytes,
    wait: Duration,
    asked: Asked,
) -> Result<Response<Body>, Refusal> {
    let request = desk.client.post(target).headers(headers).header("x-api-key", key.expose());
    let began = Instant::now();
    match timeout(wait, request.body(body).send()).await {
        Ok(Ok(answer)) => pass_back(desk, answer, asked),
        Ok(Err(failure)) => {
            if failure.is_connect() {
                Reservation::release(asked.reservation);
            }
            // The text of the error never contains the key.
            tracing::debug!(error = %failure.without_url(), "the model API cannot be reached");
            desk.ledger.failed(ApiFailure::Network);
            let message = "the model API cannot be reached";
            Ok(error(StatusCode::BAD_GATEWAY, "api_error", message))
        }
        Err(_) => {
            desk.ledger.failed_since(ApiFailure::Timeout, began);
            let message = "the model API did not answer in time";
            Ok(error(StatusCode::GATEWAY_TIMEOUT, "timeout_error", message))
        }
    }
}
