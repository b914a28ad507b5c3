//! How often the watch looks at what costs to look at.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// A look may take one part in so many of a processor.
const SPARING: u32 = 20;

/// One look, from its beginning. Its cost is the processor's time: on a machine that is busy, and
/// under attack it is, a look takes long without costing more, and the next one must not wait longer
/// for that.
#[derive(Debug)]
pub(super) struct Effort {
    began: Instant,
    processor: Option<Duration>,
}

impl Effort {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now(), processor: processor_time() }
    }

    /// When to look again, if looks that cost nothing come after `pause`.
    pub(super) fn next(&self, pause: Duration) -> Instant {
        let took = self.began.elapsed();
        let spent =
            processor_time().zip(self.processor).map(|(now, then)| now.saturating_sub(then));
        Instant::now() + pause.max(took).max(spent.unwrap_or(took) * SPARING)
    }
}

/// What this thread has had of the processor.
fn processor_time() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok().map(Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(1);

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test that waits")]
    fn a_look_that_only_takes_long_is_repeated_soon() {
        let effort = Effort::begin();
        std::thread::sleep(Duration::from_millis(200));
        let wait = effort.next(PAUSE) - Instant::now();
        assert!(wait < Duration::from_secs(2), "{wait:?}");
    }

    #[test]
    fn a_look_that_costs_is_repeated_rarely() {
        let effort = Effort::begin();
        let until = processor_time().unwrap() + Duration::from_millis(50);
        while processor_time().unwrap() < until {}
        let wait = effort.next(PAUSE) - Instant::now();
        assert!(wait > Duration::from_millis(900), "{wait:?}");
    }
}
