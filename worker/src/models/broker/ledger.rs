//! What one run has used, and whether the API is answering it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::models::Anthropic;

/// Why the API did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiFailure {
    /// It could not be reached, broke off, or answered with a server error.
    Network,
    /// It refused the key.
    Auth,
    /// It asked for fewer requests.
    RateLimit,
    /// It did not answer in time.
    Timeout,
    /// It refused the request itself.
    Refused,
    /// The run's own budget is used up.
    Budget,
}

impl ApiFailure {
    /// The failure that an HTTP status stands for; `None` for success.
    pub fn of_status(status: u16) -> Option<Self> {
        match status {
            200..=299 => None,
            401 | 403 => Some(Self::Auth),
            429 => Some(Self::RateLimit),
            408 | 504 => Some(Self::Timeout),
            400..=499 => Some(Self::Refused),
            _ => Some(Self::Network),
        }
    }
}

/// Numbers of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Totals {
    /// Requests for messages that were forwarded.
    pub requests: u64,
    /// Tokens read, those from the cache included.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Requests that failed.
    pub failures: u64,
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
    /// The last answer, if it was a failure.
    last_failure: Option<ApiFailure>,
    /// When the present row of failures began.
    failing_since: Option<Instant>,
    last_byte: Option<Instant>,
}

impl Ledger {
    pub(super) fn new(settings: &Anthropic) -> Self {
        Self {
            max_requests: settings.max_requests,
            max_tokens: settings.max_tokens,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Plain numbers: a panic elsewhere cannot leave them half-changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, or says that the budget is used up.
    pub(super) fn admit(&self) -> Result<(), ApiFailure> {
        let mut inner = self.inner();
        let used = inner.totals.input_tokens.saturating_add(inner.totals.output_tokens);
        if inner.totals.requests >= self.max_requests || used >= self.max_tokens {
            inner.last_failure = Some(ApiFailure::Budget);
            return Err(ApiFailure::Budget);
        }
        inner.totals.requests += 1;
        Ok(())
    }

    pub(super) fn add_tokens(&self, input: u64, output: u64) {
        let totals = &mut self.inner().totals;
        totals.input_tokens = totals.input_tokens.saturating_add(input);
        totals.output_tokens = totals.output_tokens.saturating_add(output);
    }

    pub(super) fn failed(&self, failure: ApiFailure) {
        self.failed_since(failure, Instant::now());
    }

    /// A failure that began at `since`: an API that does not answer fails from the question on, not
    /// from the moment at which the wait for it is over.
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

    /// Requests and tokens so far.
    pub fn totals(&self) -> Totals {
        self.inner().totals
    }

    /// How the last request failed; `None` if it succeeded.
    pub fn last_failure(&self) -> Option<ApiFailure> {
        self.inner().last_failure
    }

    /// How long the API has done nothing but fail.
    pub fn failing_for(&self) -> Option<Duration> {
        let inner = self.inner();
        let since = inner.failing_since?;
        Some(since.max(inner.last_byte.unwrap_or(since)).elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(max_requests: u64, max_tokens: u64) -> Ledger {
        Ledger { max_requests, max_tokens, inner: Mutex::default() }
    }

    #[test]
    fn the_budget_ends_by_requests_and_by_tokens() {
        let by_requests = ledger(2, 100);
        assert_eq!(by_requests.admit(), Ok(()));
        assert_eq!(by_requests.admit(), Ok(()));
        assert_eq!(by_requests.admit(), Err(ApiFailure::Budget));
        assert_eq!(by_requests.last_failure(), Some(ApiFailure::Budget));

        let by_tokens = ledger(100, 10);
        by_tokens.add_tokens(6, 4);
        assert_eq!(by_tokens.admit(), Err(ApiFailure::Budget));
        by_tokens.add_tokens(u64::MAX, u64::MAX);
        assert_eq!(by_tokens.admit(), Err(ApiFailure::Budget));
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

    #[test]
    fn every_status_has_its_failure() {
        for (status, failure) in [
            (200, None),
            (401, Some(ApiFailure::Auth)),
            (403, Some(ApiFailure::Auth)),
            (429, Some(ApiFailure::RateLimit)),
            (500, Some(ApiFailure::Network)),
            (529, Some(ApiFailure::Network)),
            (504, Some(ApiFailure::Timeout)),
            (302, Some(ApiFailure::Network)),
            (400, Some(ApiFailure::Refused)),
            (413, Some(ApiFailure::Refused)),
        ] {
            assert_eq!(ApiFailure::of_status(status), failure, "{status}");
        }
    }
}
