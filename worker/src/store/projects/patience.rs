//! How long somebody waits for work on a history.
//!
//! Histories are bounded, and a walk over a hundred thousand versions or the comparison of ten
//! thousand files takes its time all the same. The thread that does it asks now and then whether the
//! client is still there and whether the time for it is over, and stops if not. Work that changes a
//! project is not stopped once it has begun to do so.

use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::ProjectError;

/// Longest work on a history for one request.
const LIMIT: Duration = Duration::from_secs(30);

/// What the thread that works asks.
#[derive(Debug, Clone)]
pub struct Patience {
    until: Instant,
    gone: CancellationToken,
}

impl Patience {
    /// Begins to wait. The waiting ends when the guard is dropped, with the request for example.
    pub fn begin() -> (Self, DropGuard) {
        let gone = CancellationToken::new();
        let guard = gone.clone().drop_guard();
        (Self { until: Instant::now() + LIMIT, gone }, guard)
    }

    /// An error if nobody waits any more.
    pub(super) fn check(&self) -> Result<(), ProjectError> {
        if self.gone.is_cancelled() {
            tracing::debug!("work on a history is given up, because nobody waits for it");
            return Err(ProjectError::Late);
        }
        if Instant::now() > self.until { Err(ProjectError::Late) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_its_guard_and_with_its_time() {
        let (patience, guard) = Patience::begin();
        assert!(patience.check().is_ok());
        drop(guard);
        assert!(matches!(patience.check(), Err(ProjectError::Late)));
        let (mut patience, _guard) = Patience::begin();
        patience.until = Instant::now();
        std::thread::park_timeout(Duration::from_millis(2));
        assert!(matches!(patience.check(), Err(ProjectError::Late)));
    }
}
