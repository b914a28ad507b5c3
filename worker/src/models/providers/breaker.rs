//! A circuit breaker: whether a provider that has only failed is asked again.
//!
//! Closed, everybody asks. After some failures in a row it opens, and nobody asks for a while. Then it
//! is half open: one request is let through as a probe, and its fate decides. It is a decision about
//! new requests only; what has begun goes on.

use std::time::{Duration, Instant};

/// Failures in a row after which a provider is not asked for a while.
const MAX_FAILURES: u32 = 3;
/// The first pause; each one that follows a probe that failed is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// What a request is to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// One of many.
    Ordinary,
    /// The one that tries whether the provider answers again.
    Probe,
}

/// What became of the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It opened, for so long.
    Opened(Duration),
    /// It closed.
    Closed,
}

/// The state of one provider.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    pause: Duration,
    is_probed: bool,
}

impl Breaker {
    /// Whether a request may be made now. A probe must be told of its fate.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Pass> {
        match &mut self.open {
            None => Some(Pass::Ordinary),
            Some(open) if open.is_probed || now < open.until => None,
            Some(open) => {
                open.is_probed = true;
                Some(Pass::Probe)
            }
        }
    }

    /// A request was answered. One that had begun before the breaker opened says nothing new.
    pub(super) fn succeeded(&mut self, pass: Pass) -> Option<Change> {
        if pass == Pass::Ordinary && self.open.is_some() {
            return None;
        }
        self.failures = 0;
        self.open.take().map(|_| Change::Closed)
    }

    /// A request failed.
    pub(super) fn failed(&mut self, pass: Pass, now: Instant) -> Option<Change> {
        let pause = match (&self.open, pass) {
            (Some(open), Pass::Probe) => (open.pause * 2).min(LONGEST_PAUSE),
            (Some(_), Pass::Ordinary) => return None,
            (None, _) => {
                self.failures += 1;
                if self.failures < MAX_FAILURES {
                    return None;
                }
                FIRST_PAUSE
            }
        };
        self.open = Some(Open { until: now + pause, pause, is_probed: false });
        Some(Change::Opened(pause))
    }

    /// A probe ended without a fate, because whoever asked has left; the next request is one.
    pub(super) fn abandoned(&mut self, pass: Pass) {
        if let (Some(open), Pass::Probe) = (&mut self.open, pass) {
            open.is_probed = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 1..MAX_FAILURES {
            assert_eq!(breaker.failed(Pass::Ordinary, now), None);
            assert_eq!(breaker.admit(now), Some(Pass::Ordinary));
        }
        assert_eq!(breaker.failed(Pass::Ordinary, now), Some(Change::Opened(FIRST_PAUSE)));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_success_ends_the_row() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            breaker.failed(Pass::Ordinary, now);
            breaker.failed(Pass::Ordinary, now);
            assert_eq!(breaker.succeeded(Pass::Ordinary), None);
        }
        assert_eq!(breaker.admit(now), Some(Pass::Ordinary));
        assert_eq!(opened(now).admit(now), None);
    }

    #[test]
    fn one_probe_decides() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(now + FIRST_PAUSE / 2), None);
        let later = now + FIRST_PAUSE;
        assert_eq!(breaker.admit(later), Some(Pass::Probe));
        assert_eq!(breaker.admit(later), None, "only one is let through");
        assert_eq!(breaker.succeeded(Pass::Probe), Some(Change::Closed));
        assert_eq!(breaker.admit(later), Some(Pass::Ordinary));
    }

    #[test]
    fn pauses_grow_and_have_an_end() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut pause = FIRST_PAUSE;
        for _ in 0..10 {
            now += pause;
            assert_eq!(breaker.admit(now), Some(Pass::Probe));
            pause = (pause * 2).min(LONGEST_PAUSE);
            assert_eq!(breaker.failed(Pass::Probe, now), Some(Change::Opened(pause)));
        }
        assert_eq!(pause, LONGEST_PAUSE);
    }

    #[test]
    fn what_began_before_it_opened_changes_nothing() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.failed(Pass::Ordinary, now), None);
        assert_eq!(breaker.succeeded(Pass::Ordinary), None);
        assert_eq!(breaker.admit(now), None);
    }

    #[test]
    fn a_probe_without_a_fate_makes_way_for_the_next() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + FIRST_PAUSE;
        assert_eq!(breaker.admit(later), Some(Pass::Probe));
        breaker.abandoned(Pass::Probe);
        assert_eq!(breaker.admit(later), Some(Pass::Probe));
    }
}
