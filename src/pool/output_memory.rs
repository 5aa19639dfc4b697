//! Memory that all connections share, and which of them is ended when it runs short.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often all connections are looked through for memory, at the most.
const SWEEP: Duration = Duration::from_millis(10);

/// How much of that for each connection: about ten times what looking at it takes.
const EACH: Duration = Duration::from_micros(1);

/// Memory that all connections together may use: for what slow readers have not yet taken, or for
/// requests that have not come whole.
#[derive(Debug)]
pub(crate) struct PendingPool {
    limit: AtomicUsize,
    used: AtomicUsize,
    /// When connections were last [looked through](Self::may_sweep) for those to be ended.
    swept: Mutex<Option<Instant>>,
}

impl PendingPool {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let (limit, used) = (AtomicUsize::new(limit), AtomicUsize::new(0));
        Arc::new(Self { limit, used, swept: Mutex::default() })
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// How much is to be freed at once, so that it is not asked for again soon.
    pub(crate) fn share(&self) -> usize {
        self.limit.load(Ordering::Relaxed) / 8
    }

    /// Whether the caller may look through all connections, which costs a lock for each.
    /// Of few it may do so more often.
    pub(crate) fn may_sweep(&self, connections: u32, now: Instant) -> bool {
        let Ok(mut swept) = self.swept.try_lock() else { return false };
        let gap = (EACH * connections).min(SWEEP);
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

    /// So many bytes of it; `None` if they do not fit.
    pub(crate) fn lease(self: &Arc<Self>, bytes: usize) -> Option<Lease> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let lease = Lease { pool: Arc::clone(self), bytes };
        // Dropping the lease gives back what did not fit.
        (before + bytes <= self.limit.load(Ordering::Relaxed)).then_some(lease)
    }
}

/// Memory that a connection has of a [`PendingPool`]; given back by `Drop`.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<PendingPool>,
    bytes: usize,
}

impl Lease {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back all but so many bytes. `false`: it has not as many.
    pub(crate) fn shrink(&mut self, bytes: usize) -> bool {
        let Some(spare) = self.bytes.checked_sub(bytes) else { return false };
        self.pool.used.fetch_sub(spare, Ordering::Relaxed);
        self.bytes = bytes;
        true
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
