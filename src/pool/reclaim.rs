//! Closes parked connections when the memory that all connections share is used up.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use crate::close::CloseReason;
use crate::pool::connection::Connection;
use crate::pool::output_memory::PendingPool;
use crate::pool::shared::Shared;

impl Shared {
    /// Closes the parked connections that read most slowly, until there is room for `bytes` more of
    /// responses.
    pub(crate) fn free_output(&self, bytes: usize, now: Instant) -> bool {
        let measure = |connection: &Connection| {
            let bytes = connection.output.leased();
            (bytes > 0).then(|| (connection.output.rate(now), bytes))
        };
        self.free(&self.pending, bytes, CloseReason::WriteTimeout, measure, now)
    }

    /// Closes the parked connections with the longest unfinished requests, until there is room for
    /// `bytes` more. Only connections that have more than `bytes` are closed.
    pub(crate) fn free_input(&self, bytes: usize, now: Instant) -> bool {
        let measure = |connection: &Connection| {
            let leased = connection.input_lease.as_ref()?.bytes();
            (leased > bytes).then_some((u64::MAX - leased as u64, leased))
        };
        self.free(&self.input, bytes, CloseReason::Overloaded, measure, now)
    }

    /// Closes parked connections, those with the lowest rank first, until `bytes` and some to spare
    /// are free. `measure` returns the rank of a connection and the bytes that closing it frees.
    /// Returns `false` if no connection was found, or if the last sweep was only a moment ago.
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
        // Two sweeps: the first only measures, as the lowest ranks are known once all were seen.
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
        let mut left = bytes.max(pool.sweep_size());
        let mut last = None;
        for (rank, bytes) in found {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(bytes);
            last = Some(rank);
        }
        let Some(last) = last else { return false };
        let left = Cell::new(bytes.max(pool.sweep_size()));
        let wanted = |connection: &Connection| match measure(connection) {
            // Several connections may have the last rank, and not all of them have to be closed.
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
