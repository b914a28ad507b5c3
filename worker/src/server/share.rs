//! Limits the memory that the bodies of all requests may take together.
//!
//! There are two pools, so that large bodies do not keep small ones out. A small body takes a share
//! of its whole size at once, so it holds none while it waits. For a large body this would reserve
//! much memory that may never be used, so its share grows in steps while it arrives. If the pool is
//! used up, one body at a time may grow without it: it arrives whole, or is refused because its
//! client is too slow, and then the next one may. So there is always progress, although large
//! bodies hold what they have while they wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::error::ApiError;
use crate::api::ErrorCode;

/// How much every body may take without a share, in bytes. An ordinary request is smaller.
pub(super) const FREE_BYTES: usize = 8 << 10;
/// Bodies up to this size, in bytes, use a pool of their own.
pub(super) const SMALL_BYTES: usize = 256 << 10;
/// The sizes of the pools of small and of large bodies, in bytes, without the one body that may
/// grow without a pool.
const SMALL_POOL_BYTES: usize = 32 << 20;
const LARGE_POOL_BYTES: usize = 32 << 20;
/// By how many bytes a share grows at a time.
const SMALL_STEP_BYTES: usize = 16 << 10;
const LARGE_STEP_BYTES: usize = SMALL_BYTES;

static SMALL: Pool = Pool::new(SMALL_POOL_BYTES, SMALL_STEP_BYTES);
static LARGE: Pool = Pool::new(LARGE_POOL_BYTES, LARGE_STEP_BYTES);

#[derive(Debug)]
struct Pool {
    /// The steps that are free.
    free: Semaphore,
    /// The permit to grow without the pool.
    last: Semaphore,
    /// The number of bodies that wait for a step.
    waiting: AtomicUsize,
    step_bytes: usize,
}

/// The share of one body: how much memory it may take.
#[derive(Debug)]
pub(super) struct Share {
    pool: &'static Pool,
    /// The least number of bytes that is taken at once.
    least_bytes: usize,
    steps: Option<SemaphorePermit<'static>>,
    last: Option<SemaphorePermit<'static>>,
}

impl Share {
    /// Makes an empty share for a body that is announced with this size. A body without an
    /// announced size counts as large.
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

    /// Whether other bodies wait for memory of the same pool.
    pub(super) fn is_wanted(&self) -> bool {
        let has_some = self.steps.is_some() || self.last.is_some();
        has_some && self.pool.waiting.load(Ordering::Relaxed) > 0
    }

    /// How many bytes a body that has `bytes` bytes may have without growing its share.
    pub(super) fn room(&self, bytes: usize) -> usize {
        if bytes <= FREE_BYTES { FREE_BYTES } else { bytes.next_multiple_of(self.pool.step_bytes) }
    }

    /// Grows the share until the body may have this many bytes in total. Returns whether it had to
    /// wait.
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

    /// Grows the share by room for this many bytes in addition to the body, which has arrived. More
    /// than a little is taken from the pool of large bodies.
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

/// Counts a waiting body as long as it waits, also if its client leaves in the meantime.
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
