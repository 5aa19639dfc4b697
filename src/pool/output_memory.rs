//! [`PendingPool`]: memory that all connections share, leased to each of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The least time between two sweeps of all connections for memory, if there are many.
const SWEEP_GAP: Duration = Duration::from_millis(10);

/// The share of each connection in that time: about ten times what a look at one takes.
const SWEEP_GAP_EACH: Duration = Duration::from_micros(1);

/// The bytes that all connections together may use: for responses that slow clients have not read
/// yet, or for requests that have not arrived completely.
#[derive(Debug)]
pub(crate) struct PendingPool {
    limit: AtomicUsize,
    used: AtomicUsize,
    /// When all connections were last [swept](Self::may_sweep) for some to be closed.
    swept: Mutex<Option<Instant>>,
}

impl PendingPool {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let (limit, used) = (AtomicUsize::new(limit), AtomicUsize::new(0));
        Arc::new(Self { limit, used, swept: Mutex::default() })
    }

    /// Changes the limit. Leases stay as they are.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// How many bytes a sweep frees at least, so that the next sweep is not needed soon.
    pub(crate) fn sweep_size(&self) -> usize {
        self.limit.load(Ordering::Relaxed) / 8
    }

    /// Whether the caller may sweep all connections, which takes a lock for each. The fewer there
    /// are, the more often.
    pub(crate) fn may_sweep(&self, connections: u32, now: Instant) -> bool {
        let Ok(mut swept) = self.swept.try_lock() else { return false };
        let gap = (SWEEP_GAP_EACH * connections).min(SWEEP_GAP);
        let may = swept.is_none_or(|swept| now.saturating_duration_since(swept) >= gap);
        if may {
            *swept = Some(now);
        }
        may
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Leases `bytes`, if they are within the limit.
    pub(crate) fn lease(self: &Arc<Self>, bytes: usize) -> Option<Lease> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let lease = Lease(Box::new(Leasehold { pool: Arc::clone(self), bytes }));
        // A lease beyond the limit is released by dropping it.
        (before + bytes <= self.limit.load(Ordering::Relaxed)).then_some(lease)
    }
}

/// Bytes of a [`PendingPool`] that a connection uses; released by `Drop`.
#[derive(Debug)]
pub(crate) struct Lease(Box<Leasehold>);

/// In a box, as most connections have none.
#[derive(Debug)]
struct Leasehold {
    pool: Arc<PendingPool>,
    bytes: usize,
}

impl Lease {
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// Releases all but `bytes`. Returns `false` if the lease has fewer.
    pub(crate) fn shrink(&mut self, bytes: usize) -> bool {
        let Some(spare) = self.0.bytes.checked_sub(bytes) else { return false };
        self.0.pool.used.fetch_sub(spare, Ordering::Relaxed);
        self.0.bytes = bytes;
        true
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.pool.used.fetch_sub(self.0.bytes, Ordering::Relaxed);
    }
}
