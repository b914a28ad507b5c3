//! How much memory the bodies of all requests may take together.
//!
//! There are two pools, so that large bodies keep no small ones out. A small body takes a share of
//! its whole size, and never holds one while it waits. A large one would hold too much for nothing if
//! it did, so its share grows in steps as it arrives. Where the pool is used up, one body at a time
//! may grow without it: that one comes to its end, or is ended because its client is too slow, and
//! then the next may. So there is always progress, although large bodies wait with what they have.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::error::ApiError;
use crate::api::ErrorCode;

/// What every body may take without a share. The ordinary request fits.
pub(super) const FREE_BYTES: usize = 8 << 10;
/// Bodies up to this size share a pool of their own.
pub(super) const SMALL_BYTES: usize = 256 << 10;
/// What small and what large bodies take together, beside the one that may grow without the pool.
const SMALL_POOL_BYTES: usize = 32 << 20;
const LARGE_POOL_BYTES: usize = 32 << 20;
/// By how much a share grows at a time.
const SMALL_STEP_BYTES: usize = 16 << 10;
const LARGE_STEP_BYTES: usize = SMALL_BYTES;

static SMALL: Pool = Pool::new(SMALL_POOL_BYTES, SMALL_STEP_BYTES);
static LARGE: Pool = Pool::new(LARGE_POOL_BYTES, LARGE_STEP_BYTES);

#[derive(Debug)]
struct Pool {
    /// Steps that nobody has.
    free: Semaphore,
    /// The right to grow without the pool.
    last: Semaphore,
    /// Bodies that wait for a step.
    waiting: AtomicUsize,
    step_bytes: usize,
}

/// What one body may take.
#[derive(Debug)]
pub(super) struct Share {
    pool: &'static Pool,
    /// What is taken at least.
    least_bytes: usize,
    steps: Option<SemaphorePermit<'static>>,
    last: Option<SemaphorePermit<'static>>,
}

impl Share {
    /// Nothing yet, for a body that says that it has this many bytes. One that does not say it is a
    /// large one.
    pub(super) fn none(announced: Option<u64>) -> Self {
        let announced = announced.and_then(|bytes| usize::try_from(bytes).ok());
        let small = announced.filter(|bytes| *bytes <= SMALL_BYTES);
        let pool = if small.is_some() { &SMALL } else { &LARGE };
        Self { pool, least_bytes: small.unwrap_or_default(), steps: None, last: None }
    }

    /// Whether the body was announced as a large one.
    pub(super) fn is_large(&self) -> bool {
        std::ptr::eq(self.pool, &raw const LARGE)
    }

    /// Whether others wait for some of it.
    pub(super) fn is_wanted(&self) -> bool {
        let has_some = self.steps.is_some() || self.last.is_some();
        has_some && self.pool.waiting.load(Ordering::Relaxed) > 0
    }

    /// How many bytes a body of this many may take without asking again.
    pub(super) fn room(&self, bytes: usize) -> usize {
        if bytes <= FREE_BYTES { FREE_BYTES } else { bytes.next_multiple_of(self.pool.step_bytes) }
    }

    /// Makes sure that the body may have this many bytes in all, and says whether it had to wait.
    pub(super) async fn grow(&mut self, bytes: usize, deadline: Instant) -> Result<bool, ApiError> {
        let steps = bytes.max(self.least_bytes).div_ceil(self.pool.step_bytes);
        let had = self.steps.as_ref().map_or(0, SemaphorePermit::num_permits);
        if bytes <= FREE_BYTES || self.last.is_some() || steps <= had {
            return Ok(false);
        }
        let more = u32::try_from(steps - had).map_err(|_| ApiError::internal())?;
        if let Ok(more) = self.pool.free.try_acquire_many(more) {
            self.add(more);
            return Ok(false);
        }
        let _waits = Waits::new(&self.pool.waiting);
        let granted = async {
            tokio::select! {
                steps = self.pool.free.acquire_many(more) => (steps.ok(), None),
                last = self.pool.last.acquire() => (None, last.ok()),
            }
        };
        let (steps, last) = timeout_at(deadline, granted).await.map_err(|_| {
            ApiError::new(ErrorCode::WorkerBusy, "too many large requests at the same time")
        })?;
        if let Some(steps) = steps {
            self.add(steps);
        }
        self.last = last;
        Ok(true)
    }

    /// Makes sure that there is room for this many bytes beside the body, which has arrived. What is
    /// not little is taken from the pool of large bodies.
    pub(super) async fn add_room(
        &mut self,
        body: usize,
        more: usize,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        let bytes = body.saturating_add(more);
        if self.is_large() || bytes <= SMALL_BYTES {
            return self.grow(bytes, deadline).await.map(drop);
        }
        let mut large = Self::none(None);
        large.grow(bytes, deadline).await?;
        *self = large;
        Ok(())
    }

    fn add(&mut self, more: SemaphorePermit<'static>) {
        match &mut self.steps {
            Some(steps) => steps.merge(more),
            None => self.steps = Some(more),
        }
    }
}

impl Pool {
    const fn new(bytes: usize, step_bytes: usize) -> Self {
        Self {
            free: Semaphore::const_new(bytes / step_bytes),
            last: Semaphore::const_new(1),
            waiting: AtomicUsize::new(0),
            step_bytes,
        }
    }
}

/// Counts one that waits for as long as it does, also if its client goes meanwhile.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
