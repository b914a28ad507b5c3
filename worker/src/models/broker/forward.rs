//! One request: checked, given the real key, and forwarded to a provider. Where one provider fails before
//! anything of its answer was passed on, the request goes to the other one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::answer::{Body, Refusal, empty, error};
use super::check::{self, Form};
use super::head::{self, Operation, Route};
use super::ledger::{Denied, Reservation, Tokens};
use super::relay::{Asked, pass_back};
use super::{Desk, Dialect, body, rewrite};
use crate::blocking;
use crate::models::ApiFailure;
use crate::models::providers::{Attempt, Call, Target};

/// Bodies up to this size, in bytes, are checked at once. Larger ones are checked a few at a time.
const SMALL_BYTES: usize = 1 << 20;
/// The number of bytes of a request that make one token at the least: three in Japanese, four in
/// English.
const BYTES_A_TOKEN: usize = 3;
/// The largest number of tokens that a model reads. The API refuses more.
const MAX_INPUT_TOKENS: u64 = 1_000_000;

/// A request that was checked and may be forwarded.
struct Checked {
    operation: Operation,
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
    let Some(route) = Route::of(&parts.method, &parts.uri, desk.dialect) else {
        let message = "this broker serves messages and counts of their tokens only";
        return Err(Refusal::new(StatusCode::NOT_FOUND, "not_found_error", message));
    };
    if route.operation == Operation::Hello {
        return Ok(empty(StatusCode::OK));
    }
    if !has_token {
        let message = "the token of this run is missing or wrong";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "authentication_error", message));
    }
    match admit(desk, route, &parts, &mut body).await {
        Ok((checked, reservation)) => forward(desk, checked, reservation).await,
        Err(refusal) => {
            desk.ledger.refused();
            if !head::waits(&parts.headers) {
                body::discard(&mut body).await;
            }
            Err(refusal)
        }
    }
}

/// Sends a request to one provider after the other, until one of them answers or all have failed.
async fn forward(
    desk: &Arc<Desk>,
    checked: Checked,
    reservation: Option<Reservation>,
) -> Result<Response<Body>, Refusal> {
    let Checked { operation, body, request, headers, turn } = checked;
    let mut asked = Asked { operation, turn, reservation };
    let mut tried = Vec::new();
    let mut next = desk.providers.choose(&tried);
    while let Some(attempt) = next {
        tried.push(attempt.kind());
        let is_message = operation == Operation::Messages;
        if is_message {
            desk.ledger.asked(attempt.kind());
        }
        let sent = send(desk, &attempt, operation, &request, headers.clone(), body.clone()).await;
        let failure = match &sent {
            Ok(answer) => ApiFailure::of_status(answer.status().as_u16()),
            Err(unsent) => Some(unsent.failure),
        };
        next = match failure {
            Some(failure) if failure.is_of_the_api() => desk.providers.choose(&tried),
            _ => None,
        };
        match sent {
            // Nothing of the answer was read, so another one may take its place.
            Ok(answer) if next.is_some() => {
                desk.ledger.failed(failure.unwrap_or(ApiFailure::Network));
                drop(answer);
                attempt.failed(failure.unwrap_or(ApiFailure::Network));
            }
            Ok(answer) => return pass_back(desk, answer, asked, attempt).await,
            Err(unsent) => {
                desk.ledger.failed_since(unsent.failure, unsent.since);
                attempt.failed(unsent.failure);
                if next.is_none() {
                    if !unsent.may_cost {
                        Reservation::release(asked.reservation.take());
                    }
                    return Ok(unsent.into_answer());
                }
            }
        }
    }
    desk.ledger.failed(ApiFailure::Auth);
    Reservation::release(asked.reservation);
    let message = "the worker has no model API (ANTHROPIC_API_KEY or DREAMCORE_VERTEX_PROJECT)";
    Ok(error(StatusCode::UNAUTHORIZED, "authentication_error", message))
}

/// Does everything that a request must pass before it is sent with the real key.
async fn admit(
    desk: &Arc<Desk>,
    route: Route,
    parts: &Parts,
    body: &mut Incoming,
) -> Result<(Checked, Option<Reservation>), Refusal> {
    let checked = check(desk, route, parts, body).await?;
    if checked.operation == Operation::CountTokens {
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
    route: Route,
    parts: &Parts,
    body: &mut Incoming,
) -> Result<Checked, Refusal> {
    let Route { operation, model } = route;
    let length = head::body_length(&parts.headers)?;
    let headers = head::forwarded(&parts.headers, &desk.settings.allowed_betas)?;
    let turns = if operation == Operation::Messages { &desk.messages } else { &desk.counts };
    let turn = take_turn(turns, desk.settings.first_byte_timeout).await?;
    let body = {
        // No code closes this semaphore or the others, so this cannot fail.
        let _arrival = desk.arrivals.acquire().await.ok();
        body::receive(body, length, &desk.room, &desk.ledger).await?
    };
    let request = parse(desk, body.clone(), model).await?;
    Ok(Checked { operation, body, request, headers, turn })
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

/// Checks a body where it keeps nobody waiting: a large one takes a tenth of a second. A run has one
/// checked at a time, and all runs together have a few large ones.
async fn parse(
    desk: &Arc<Desk>,
    body: Bytes,
    model: Option<String>,
) -> Result<check::Request, Refusal> {
    let _one = desk.checks.acquire().await.ok();
    let is_large = body.len() > SMALL_BYTES;
    let _few = if is_large { desk.large_checks.acquire().await.ok() } else { None };
    let settings = Arc::clone(&desk.settings);
    let dialect = desk.dialect;
    let read = blocking::run(move || {
        let form = match dialect {
            Dialect::Anthropic => Form::Anthropic,
            Dialect::Vertex => Form::Vertex { model: model.as_deref() },
        };
        check::Request::parse(&body, form, &settings.allowed_models)
    });
    let read = read.await;
    let result = read.map_err(|_| Refusal::invalid("the request cannot be read"))?;
    result.map_err(Refusal::invalid)
}

/// A provider that gave no answer.
struct Unsent {
    failure: ApiFailure,
    since: Instant,
    /// Whether the provider may have begun to work.
    may_cost: bool,
}

impl Unsent {
    /// What the CLI is told, so that it asks again or not.
    fn into_answer(self) -> Response<Body> {
        let (status, kind, message) = match self.failure {
            ApiFailure::Timeout => {
                let message = "the model API did not answer in time";
                (StatusCode::GATEWAY_TIMEOUT, "timeout_error", message)
            }
            ApiFailure::Auth => {
                let message = "the worker is not let in to the model API";
                (StatusCode::UNAUTHORIZED, "authentication_error", message)
            }
            _ => (StatusCode::BAD_GATEWAY, "api_error", "the model API cannot be reached"),
        };
        error(status, kind, message)
    }
}

/// Sends the request to one provider and waits for the head of its answer.
async fn send(
    desk: &Arc<Desk>,
    attempt: &Attempt,
    operation: Operation,
    request: &check::Request,
    headers: HeaderMap,
    body: Bytes,
) -> Result<reqwest::Response, Unsent> {
    let since = Instant::now();
    let unsent = |failure, may_cost| Unsent { failure, since, may_cost };
    let settings = &desk.settings;
    let (call, wait) = match operation {
        Operation::Messages => {
            // An answer in one piece begins when the model is done, which takes longer.
            let wait = if request.stream { settings.first_byte_timeout } else { settings.give_up };
            (Call::Message { stream: request.stream }, wait)
        }
        _ => (Call::CountTokens, settings.first_byte_timeout),
    };
    let Target { url, credential: (name, value) } =
        attempt.target(&request.model, call).await.map_err(|failure| unsent(failure, false))?;
    let body = match desk.dialect {
        Dialect::Anthropic => body.into(),
        Dialect::Vertex => {
            let (kind, model) = (attempt.kind(), attempt.model_name(&request.model));
            reqwest::Body::wrap(rewrite::rewritten(&body, request, operation, kind, &model))
        }
    };
    let asking = desk.client.post(url.expose()).headers(headers).header(name, value);
    match timeout(wait, asking.body(body).send()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(failure)) => {
            let may_cost = !failure.is_connect();
            // The text of the error may hold the address, which may be a secret.
            let (error, provider) = (failure.without_url(), attempt.kind().name());
            tracing::debug!(%error, provider, "the model API cannot be reached");
            Err(unsent(ApiFailure::Network, may_cost))
        }
        Err(_) => Err(unsent(ApiFailure::Timeout, true)),
    }
}
