//! Memory that all connections share, and which of them is ended when it runs short.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::pool::Shared;
use crate::pool::connection::Connection;

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

impl Shared {
    /// Ends the slowest of the parked readers, so that there is room for `bytes` more of responses.
    pub(crate) fn free_output(&self, bytes: usize, now: Instant) -> bool {
        let measure = |connection: &Connection| {
            let bytes = connection.output.leased();
            (bytes > 0).then(|| (connection.output.rate(now), bytes))
        };
        self.free(&self.pending, bytes, CloseReason::WriteTimeout, measure, now)
    }

    /// Ends the parked connections with the most of unfinished requests, so that there is room for
    /// `bytes` more. One that is asked for by a connection which has as much itself ends nobody.
    pub(crate) fn free_input(&self, bytes: usize, now: Instant) -> bool {
        let measure = |connection: &Connection| {
            let leased = connection.input_lease.as_ref()?.bytes();
            (leased > bytes).then_some((u64::MAX - leased as u64, leased))
        };
        self.free(&self.input, bytes, CloseReason::Overloaded, measure, now)
    }

    /// Ends parked connections, those with the lowest measure first, until there is room for
    /// `bytes` and some to spare. The measure comes with the memory that ending one frees. `false`:
    /// it was not looked, as that was done a moment ago, or nothing was found.
    fn free(
        &self,
        pool: &PendingPool,
        bytes: usize,
        reason: CloseReason,
        measure: impl Fn(&Connection) -> Option<(u64, usize)>,
        now: Instant,
    ) -> bool {
        if !pool.may_sweep(self.poller.used(), now) {
            return false;
        }
        let found = RefCell::new(Vec::new());
        self.poller.sweep(
            |connection| {
                found.borrow_mut().extend(measure(connection));
                false
            },
            drop,
        );
        let mut found = found.into_inner();
        found.sort_unstable();
        let mut left = bytes.max(pool.share());
        let mut last = None;
        for (rank, bytes) in found {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(bytes);
            last = Some(rank);
        }
        let Some(last) = last else { return false };
        let left = Cell::new(bytes.max(pool.share()));
        let wanted = |connection: &Connection| match measure(connection) {
            // Many may have the same rank.
            Some((rank, bytes)) if rank <= last && left.get() > 0 => {
                left.set(left.get().saturating_sub(bytes));
                true
            }
            _ => false,
        };
        self.poller.sweep(wanted, |connection| self.close(connection, reason));
        true
    }
}
