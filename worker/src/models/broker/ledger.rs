//! The ledger of one run: how much of its budgets it has used, and whether the API answers it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::answer::Refusal;
use crate::models::{ApiFailure, Lending, ProviderKind};

/// How many requests of any kind a run may make for each message that it may ask for, and a number
/// in addition. Counts of tokens, refused requests and connections are requests too.
const REQUESTS_A_MESSAGE: u64 = 4;
const MORE_REQUESTS: u64 = 100;
/// The size of all bodies of a run, in bytes, for each message that it may ask for, and a size in
/// addition. The CLI sends the whole conversation with each message, which has at most a few
/// megabytes.
const BYTES_A_MESSAGE: u64 = 8 << 20;
const MORE_BYTES: u64 = 64 << 20;
/// How many requests of a run the broker may refuse before the run is ended. The CLI repeats a
/// refused request up to five times with one field or beta less, and then ends by itself.
const MAX_REFUSALS: u64 = 32;

/// What a run asked for beyond everything that a run may need, so that it is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overuse {
    /// The run made too many requests, answered or not.
    Requests,
    /// The run sent too many bytes.
    Bytes,
    /// The broker refused too many of the run's requests.
    Refusals,
}

impl fmt::Display for Overuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "the run made more requests to the model API than a run may make",
            Self::Bytes => "the run sent more to the model API than a run may send",
            Self::Refusals => "too many requests of the run to the model API had to be refused",
        })
    }
}

impl From<Overuse> for Refusal {
    fn from(overuse: Overuse) -> Self {
        Self::invalid(overuse.to_string())
    }
}

/// The numbers of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Totals {
    /// The number of requests for messages that were forwarded.
    pub requests: u64,
    /// The number of tokens that the model read, including those from the cache.
    pub input_tokens: u64,
    /// The number of tokens that the model wrote.
    pub output_tokens: u64,
    /// The number of requests that failed.
    pub failures: u64,
    /// Messages that were asked of the Anthropic API.
    pub asked_anthropic: u64,
    /// Messages that were asked of Vertex AI.
    pub asked_vertex: u64,
}

/// The numbers of tokens of one message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) input: u64,
    pub(super) output: u64,
}

impl Tokens {
    fn sum(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// Why a message is not forwarded now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// The budget is used up.
    UsedUp,
    /// The messages that are being answered may use up the budget.
    UnderWay,
}

/// The account of one run.
#[derive(Debug)]
pub struct Ledger {
    max_requests: u64,
    max_tokens: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    totals: Totals,
    /// The estimated tokens of messages whose answers did not contain their numbers.
    unsaid_tokens: u64,
    /// The estimated tokens of the messages that are being answered.
    reserved_tokens: u64,
    /// The number of requests of any kind, and of connections.
    all_requests: u64,
    body_bytes: u64,
    refusals: u64,
    overuse: Option<Overuse>,
    /// How the last request failed. `None` if it succeeded.
    last_failure: Option<ApiFailure>,
    /// When the present sequence of failures began.
    failing_since: Option<Instant>,
    last_byte: Option<Instant>,
}

impl Inner {
    fn used_tokens(&self) -> u64 {
        let said = self.totals.input_tokens.saturating_add(self.totals.output_tokens);
        said.saturating_add(self.unsaid_tokens)
    }

    fn unless_overused(&self) -> Result<(), Overuse> {
        self.overuse.map_or(Ok(()), Err)
    }
}

impl Ledger {
    pub(super) fn new(settings: &Lending) -> Self {
        Self {
            max_requests: settings.max_requests,
            max_tokens: settings.max_tokens,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // The state is plain numbers, which a panic cannot leave half-changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection or a request of any kind.
    pub(super) fn arrived(&self) -> Result<(), Overuse> {
        let most =
            self.max_requests.saturating_mul(REQUESTS_A_MESSAGE).saturating_add(MORE_REQUESTS);
        let mut inner = self.inner();
        inner.all_requests += 1;
        if inner.all_requests > most {
            inner.overuse.get_or_insert(Overuse::Requests);
        }
        inner.unless_overused()
    }

    /// Counts bytes of a body.
    pub(super) fn received(&self, bytes: usize) -> Result<(), Overuse> {
        let most = self.max_requests.saturating_mul(BYTES_A_MESSAGE).saturating_add(MORE_BYTES);
        let mut inner = self.inner();
        inner.body_bytes = inner.body_bytes.saturating_add(bytes as u64);
        if inner.body_bytes > most {
            inner.overuse.get_or_insert(Overuse::Bytes);
        }
        inner.unless_overused()
    }

    /// Counts a request that the broker refused. It says nothing about the API, so it does not
    /// count as a failure of the API.
    pub(super) fn refused(&self) {
        let mut inner = self.inner();
        inner.totals.failures += 1;
        inner.refusals += 1;
        // If the budget is used up, that stays the reason.
        if inner.last_failure != Some(ApiFailure::Budget) {
            inner.last_failure = Some(ApiFailure::Refused);
        }
        if inner.refusals >= MAX_REFUSALS {
            inner.overuse.get_or_insert(Overuse::Refusals);
        }
    }

    /// Counts a message that is about to be forwarded, and reserves its estimated tokens. The last
    /// message may exceed the budget, but only one message can be the last.
    pub(super) fn admit(self: &Arc<Self>, estimate: Tokens) -> Result<Reservation, Denied> {
        let mut inner = self.inner();
        let used = inner.used_tokens();
        if inner.totals.requests >= self.max_requests || used >= self.max_tokens {
            inner.last_failure = Some(ApiFailure::Budget);
            return Err(Denied::UsedUp);
        }
        if used.saturating_add(inner.reserved_tokens) >= self.max_tokens {
            return Err(Denied::UnderWay);
        }
        inner.totals.requests += 1;
        inner.reserved_tokens = inner.reserved_tokens.saturating_add(estimate.sum());
        Ok(Reservation {
            ledger: Arc::clone(self),
            estimate,
            said: Tokens::default(),
            is_final: false,
        })
    }

    /// Counts a message that is sent to this provider.
    pub(super) fn asked(&self, provider: ProviderKind) {
        let totals = &mut self.inner().totals;
        match provider {
            ProviderKind::Anthropic => totals.asked_anthropic += 1,
            ProviderKind::Vertex => totals.asked_vertex += 1,
        }
    }

    pub(super) fn failed(&self, failure: ApiFailure) {
        self.failed_since(failure, Instant::now());
    }

    /// Counts a failure that began at `since`. If the API does not answer, it fails from the
    /// request on, and not from the end of the wait.
    pub(super) fn failed_since(&self, failure: ApiFailure, since: Instant) {
        let mut inner = self.inner();
        inner.totals.failures += 1;
        inner.last_failure = Some(failure);
        inner.failing_since.get_or_insert(since);
    }

    pub(super) fn progressed(&self) {
        self.inner().last_byte = Some(Instant::now());
    }

    pub(super) fn succeeded(&self) {
        let mut inner = self.inner();
        inner.last_failure = None;
        inner.failing_since = None;
    }

    /// The numbers so far.
    pub fn totals(&self) -> Totals {
        self.inner().totals
    }

    /// How the last request failed. `None` if it succeeded.
    pub fn last_failure(&self) -> Option<ApiFailure> {
        self.inner().last_failure
    }

    /// How long the API has done nothing but fail. `None` if it does not fail.
    pub fn failing_for(&self) -> Option<Duration> {
        let inner = self.inner();
        let since = inner.failing_since?;
        Some(since.max(inner.last_byte.unwrap_or(since)).elapsed())
    }

    /// The limit that the run has exceeded so far that it must be ended.
    pub fn overuse(&self) -> Option<Overuse> {
        self.inner().overuse
    }
}

/// The reservation of one message's tokens. When it is dropped, the numbers of the answer are
/// entered. If the answer did not contain them, the estimate is entered, because a client that
/// hangs up has used the tokens too.
#[derive(Debug)]
pub(super) struct Reservation {
    ledger: Arc<Ledger>,
    estimate: Tokens,
    said: Tokens,
    is_final: bool,
}

impl Reservation {
    /// Takes the numbers that the answer has contained so far. `is_final` says that they are
    /// complete.
    pub(super) fn said(&mut self, tokens: Tokens, is_final: bool) {
        (self.said, self.is_final) = (tokens, is_final);
    }

    /// Releases the reservation without using tokens, because the API did not work on the message.
    pub(super) fn release(reservation: Option<Self>) {
        if let Some(mut reservation) = reservation {
            reservation.said(Tokens::default(), true);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut inner = self.ledger.inner();
        inner.reserved_tokens = inner.reserved_tokens.saturating_sub(self.estimate.sum());
        let totals = &mut inner.totals;
        totals.input_tokens = totals.input_tokens.saturating_add(self.said.input);
        totals.output_tokens = totals.output_tokens.saturating_add(self.said.output);
        if self.is_final {
            return;
        }
        // An answer contains the number of tokens read at its beginning, and that of tokens written
        // only at its end.
        let input = if self.said.input > 0 { 0 } else { self.estimate.input };
        let output = self.estimate.output.saturating_sub(self.said.output);
        inner.unsaid_tokens = inner.unsaid_tokens.saturating_add(input).saturating_add(output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(max_requests: u64, max_tokens: u64) -> Arc<Ledger> {
        Arc::new(Ledger { max_requests, max_tokens, inner: Mutex::default() })
    }

    fn tokens(input: u64, output: u64) -> Tokens {
        Tokens { input, output }
    }

    #[test]
    fn the_budget_ends_by_requests_and_by_tokens() {
        let by_requests = ledger(2, 100);
        Reservation::release(by_requests.admit(tokens(1, 1)).ok());
        Reservation::release(by_requests.admit(tokens(1, 1)).ok());
        assert_eq!(by_requests.admit(tokens(1, 1)).unwrap_err(), Denied::UsedUp);
        assert_eq!(by_requests.last_failure(), Some(ApiFailure::Budget));

        let by_tokens = ledger(100, 10);
        by_tokens.admit(tokens(1, 1)).unwrap().said(tokens(6, 4), true);
        assert_eq!(by_tokens.admit(tokens(1, 1)).unwrap_err(), Denied::UsedUp);
        // A later refusal does not replace the reason.
        by_tokens.refused();
        assert_eq!(by_tokens.last_failure(), Some(ApiFailure::Budget));
        let endless = ledger(100, u64::MAX);
        endless.admit(tokens(1, 1)).unwrap().said(tokens(u64::MAX, u64::MAX), true);
        assert_eq!(endless.admit(tokens(1, 1)).unwrap_err(), Denied::UsedUp);
    }

    #[test]
    fn messages_under_way_count_with_their_estimate_and_then_with_what_they_cost() {
        let ledger = ledger(100, 1000);
        let mut first = ledger.admit(tokens(100, 800)).unwrap();
        let second = ledger.admit(tokens(100, 800)).unwrap();
        assert_eq!(ledger.admit(tokens(1, 1)).unwrap_err(), Denied::UnderWay);
        assert_eq!(ledger.last_failure(), None);
        first.said(tokens(20, 5), true);
        drop(first);
        Reservation::release(Some(second));
        assert_eq!((ledger.totals().input_tokens, ledger.totals().output_tokens), (20, 5));
        drop(ledger.admit(tokens(u64::MAX, u64::MAX)).unwrap());
        assert_eq!(ledger.admit(tokens(1, 1)).unwrap_err(), Denied::UsedUp);
    }

    #[test]
    fn an_answer_that_does_not_say_what_it_cost_costs_the_estimate() {
        for (said, used) in [
            (tokens(0, 0), 900),
            // The first event contained the number of tokens read, and no event that of tokens
            // written.
            (tokens(300, 1), 1100),
            (tokens(300, 5000), 5300),
        ] {
            let ledger = ledger(100, 10_000);
            ledger.admit(tokens(100, 800)).unwrap().said(said, false);
            assert_eq!(ledger.inner().used_tokens(), used, "{said:?}");
            assert_eq!(ledger.inner().reserved_tokens, 0);
            // The totals contain only numbers of answers, no estimates.
            assert_eq!(ledger.totals().input_tokens, said.input);
        }
    }

    #[test]
    fn a_run_that_asks_for_more_than_any_run_needs_is_found() {
        let requests = ledger(1, 1);
        for _ in 0..REQUESTS_A_MESSAGE + MORE_REQUESTS {
            assert_eq!(requests.arrived(), Ok(()));
        }
        assert_eq!(requests.overuse(), None);
        assert_eq!(requests.arrived(), Err(Overuse::Requests));
        assert_eq!(requests.overuse(), Some(Overuse::Requests));

        let bytes = ledger(1, 1);
        assert_eq!(bytes.received(72 << 20), Ok(()));
        assert_eq!(bytes.received(1), Err(Overuse::Bytes));

        let refusals = ledger(1, 1);
        for _ in 0..MAX_REFUSALS {
            assert_eq!(refusals.overuse(), None);
            refusals.refused();
        }
        assert_eq!(refusals.overuse(), Some(Overuse::Refusals));
        assert_eq!(refusals.arrived(), Err(Overuse::Refusals));
        // A refusal by the broker does not count as a failure of the API.
        assert_eq!(refusals.failing_for(), None);
    }

    #[test]
    fn one_success_ends_a_row_of_failures() {
        let ledger = ledger(9, 9);
        assert!(ledger.failing_for().is_none());
        ledger.failed(ApiFailure::Network);
        ledger.failed(ApiFailure::RateLimit);
        assert!(ledger.failing_for().is_some());
        ledger.succeeded();
        let asked = Instant::now().checked_sub(Duration::from_secs(50)).unwrap();
        ledger.failed_since(ApiFailure::Timeout, asked);
        ledger.failed(ApiFailure::RateLimit);
        assert!(ledger.failing_for() >= Some(Duration::from_secs(50)));
        assert_eq!(ledger.last_failure(), Some(ApiFailure::RateLimit));
        ledger.succeeded();
        assert!(ledger.failing_for().is_none());
        assert_eq!(ledger.last_failure(), None);
        assert_eq!(ledger.totals().failures, 4);
    }
}
