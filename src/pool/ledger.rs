//! The ledger of connections: who came, who is here, who left and why.
//!
//! Every accepted connection holds a [`Permit`] until it ends. Giving it back is `Drop`'s work, so
//! that no path out of the program, a panic included, can leak a connection's place; and it wakes the
//! acceptor if that waits for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::close::CloseReason;
use crate::pool::ending::Ending;
use crate::pool::waker::Waker;

/// Counts connections and bounds how many are open at once.
///
/// At any time, accepted = closed (all reasons together) + live.
#[derive(Debug)]
pub(crate) struct Ledger {
    limit: AtomicUsize,
    live: AtomicUsize,
    accepted: AtomicU64,
    closed: [AtomicU64; CloseReason::COUNT],
    /// Set by the acceptor while it waits for a connection to end.
    awaited: AtomicBool,
    /// Wakes the acceptor.
    pub(crate) acceptor: Waker,
    /// Where the thread that stops the server waits for connections, datagrams and threads to end.
    /// While the server runs nobody does, so that a connection's end wakes nobody.
    pub(crate) ending: Ending,
    /// Where [`Handle::wait`](crate::Handle::wait) waits for the acceptor to end.
    pub(crate) accepting: Ending,
}

impl Ledger {
    pub(crate) fn new(limit: usize, acceptor: Waker) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit),
            live: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            closed: std::array::from_fn(|_| AtomicU64::new(0)),
            awaited: AtomicBool::new(false),
            acceptor,
            ending: Ending::default(),
            accepting: Ending::default(),
        })
    }

    /// Enters a connection that was just accepted.
    pub(crate) fn enter(self: &Arc<Self>) -> Permit {
        self.live.fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Permit { ledger: Arc::clone(self), reason: CloseReason::ProtocolClosed }
    }

    /// Bounds how many are open from now on. Those that are open stay.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.live() >= self.limit.load(Ordering::Relaxed)
    }

    /// Asks to be woken by the next connection that ends. The caller has to look at
    /// [`live`](Self::live) again after it, as one may have ended before.
    pub(crate) fn await_departure(&self) {
        self.awaited.store(true, Ordering::SeqCst);
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn closed(&self) -> [u64; CloseReason::COUNT] {
        std::array::from_fn(|index| self.closed[index].load(Ordering::Relaxed))
    }
}

/// A connection's place in the [`Ledger`].
#[derive(Debug)]
pub(crate) struct Permit {
    ledger: Arc<Ledger>,
    /// Why the connection ends, should it end now. Whoever closes it says so first.
    pub(crate) reason: CloseReason,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let ledger = &self.ledger;
        ledger.closed[self.reason as usize].fetch_add(1, Ordering::Relaxed);
        ledger.live.fetch_sub(1, Ordering::SeqCst);
        if ledger.awaited.load(Ordering::SeqCst) && ledger.awaited.swap(false, Ordering::SeqCst) {
            ledger.acceptor.wake();
        }
        ledger.ending.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_is_closed_plus_live_at_any_time() {
        let ledger = Ledger::new(2, Waker::new().unwrap());
        let first = ledger.enter();
        let mut second = ledger.enter();
        assert!(ledger.is_full());
        second.reason = CloseReason::IdleTimeout;
        drop(second);
        assert_eq!((ledger.accepted(), ledger.live()), (2, 1));
        assert_eq!(ledger.closed()[CloseReason::IdleTimeout as usize], 1);
        drop(first);
        assert_eq!(ledger.closed().iter().sum::<u64>(), ledger.accepted());
    }

    #[test]
    fn a_departure_that_is_awaited_wakes_the_acceptor_once() {
        let ledger = Ledger::new(2, Waker::new().unwrap());
        let (first, second) = (ledger.enter(), ledger.enter());
        ledger.await_departure();
        drop(first);
        assert!(ledger.acceptor.clear());
        drop(second);
        assert!(!ledger.acceptor.clear());
    }
}
