//! The patience with work on a history: ends work that takes too long or whose client has left.
//!
//! Histories are bounded, but a walk over a hundred thousand versions or the comparison of ten
//! thousand files still takes long. The thread that does such work regularly checks whether the
//! client still waits and whether the time is over, and stops if so. Work that changes a project is
//! not stopped once the change has begun.

use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::ProjectError;

/// How long work on a history may take for one request.
const LIMIT: Duration = Duration::from_secs(30);

/// The check that a thread makes during long work.
#[derive(Debug, Clone)]
pub struct Patience {
    until: Instant,
    gone: CancellationToken,
}

impl Patience {
    /// Begins the wait. It ends when the guard is dropped, for example together with the request.
    pub fn begin() -> (Self, DropGuard) {
        let gone = CancellationToken::new();
        let guard = gone.clone().drop_guard();
        (Self { until: Instant::now() + LIMIT, gone }, guard)
    }

    /// Fails if the client does not wait any more or the time is over.
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
