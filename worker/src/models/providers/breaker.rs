//! A circuit breaker: decides whether a provider that has failed is asked again.
//!
//! While it is closed, all requests pass. After several failures in a row it opens, and no request
//! passes for a while. Then it is half open: one request passes as a probe, and its result decides.
//! It concerns new requests only; requests that have begun go on.

use std::time::{Duration, Instant};

/// How many failures in a row open the breaker.
const MAX_FAILURES: u32 = 3;
/// The first pause. After each failed probe the next pause is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// The kind of a request that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// An ordinary request.
    Ordinary,
    /// The request that finds out whether the provider answers again.
    Probe,
}

/// A change of the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It opened for this long.
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
    /// Whether a request may be made now. The result of a probe must be reported.
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

    /// Reports that a request was answered. A request that had begun before the breaker opened
    /// changes nothing.
    pub(super) fn succeeded(&mut self, pass: Pass) -> Option<Change> {
        if pass == Pass::Ordinary && self.open.is_some() {
            return None;
        }
        self.failures = 0;
        self.open.take().map(|_| Change::Closed)
    }

    /// Reports that a request failed.
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

    /// Reports that a probe ended without a result, because its client has left. The next request
    /// becomes the probe.
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
