//! The connections of connections: who came, who is here, who left and why.
//!
//! Every accepted connection holds a [`Permit`] until it ends. Giving it back is `Drop`'s work, so
//! that no path out of the program, a panic included, can leak a connection's place; and it wakes
//! the acceptor if that waits for one.
//!
//! A part of the places is kept for urgent listeners, if there are any, so that health checks and
//! operators find one whatever the other clients do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::close::CloseReason;
use crate::pool::overload::fairness::{BUCKETS, Bucket};
use crate::sync::Completion;
use crate::sync::Waker;

/// Of the places one in so many, and at the most so many, are kept for urgent listeners.
const KEPT: usize = 64;

/// Counts connections and bounds how many are open at once.
///
/// At any time, accepted = closed (all reasons together) + live.
#[derive(Debug)]
pub(crate) struct Connections {
    limit: AtomicUsize,
    /// Whether places are kept for urgent listeners.
    keeps_urgent: AtomicBool,
    live: AtomicUsize,
    /// Live connections by client.
    held: Box<[AtomicU32]>,
    accepted: AtomicU64,
    closed: [AtomicU64; CloseReason::COUNT],
    /// Set by the acceptor while it waits for a connection to end, or to be parked, so that it may
    /// be closed.
    awaited: AtomicBool,
    /// Wakes the acceptor.
    pub(crate) acceptor: Waker,
    /// Where the thread that stops the server waits for connections, datagrams and threads to end.
    /// While the server runs nobody does, so that a connection's end wakes nobody.
    pub(crate) completion: Completion,
    /// Where [`Handle::wait`](crate::Handle::wait) waits for the acceptor to end.
    pub(crate) accepting: Completion,
}

impl Connections {
    pub(crate) fn new(limit: usize, acceptor: Waker) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit),
            keeps_urgent: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            held: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
            accepted: AtomicU64::new(0),
            closed: std::array::from_fn(|_| AtomicU64::new(0)),
            awaited: AtomicBool::new(false),
            acceptor,
            completion: Completion::default(),
            accepting: Completion::default(),
        })
    }

    /// Enters a connection of this client that was just accepted.
    pub(crate) fn enter(self: &Arc<Self>, bucket: Bucket) -> Permit {
        self.live.fetch_add(1, Ordering::Relaxed);
        self.held[bucket.index()].fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Permit { connections: Arc::clone(self), bucket, reason: CloseReason::ProtocolClosed }
    }

    /// How many live connections this client has.
    pub(crate) fn held(&self, bucket: Bucket) -> u32 {
        self.held[bucket.index()].load(Ordering::Relaxed)
    }

    /// Bounds how many are open from now on. Those that are open stay.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// There are urgent listeners: some places are kept for them from now on.
    pub(crate) fn keep_urgent(&self) {
        self.keeps_urgent.store(true, Ordering::Relaxed);
    }

    /// Whether there is a place for one more connection; `urgent`: through an urgent listener.
    pub(crate) fn has_room(&self, urgent: bool) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let kept = !urgent && self.keeps_urgent.load(Ordering::Relaxed);
        let kept = if kept { (limit / KEPT).clamp(1, KEPT).min(limit - 1) } else { 0 };
        self.live() < limit - kept
    }

    /// Whether the limit is exceeded by less than may be for a moment, until a connection that
    /// should give way can be closed.
    pub(crate) fn may_overdraw(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        self.live() < limit + (limit / KEPT).clamp(1, KEPT)
    }

    /// Asks for the acceptor to be woken by the next connection that ends or is parked. The caller
    /// has to look at both again after it, as it may have happened before.
    pub(crate) fn await_change(&self) {
        self.awaited.store(true, Ordering::SeqCst);
    }

    /// A connection has ended or was parked: wakes the acceptor if that waits for it.
    ///
    /// The acceptor announces its wait before it looks: at the count of live connections, which is
    /// changed before this; at each slot, whose lock orders its look and the poller. So one of the
    /// two sees the other.
    pub(crate) fn note_change(&self) {
        if self.awaited.load(Ordering::SeqCst) && self.awaited.swap(false, Ordering::SeqCst) {
            self.acceptor.wake();
        }
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

/// A connection's place in the [`Connections`].
#[derive(Debug)]
pub(crate) struct Permit {
    connections: Arc<Connections>,
    bucket: Bucket,
    /// Why the connection ends, should it end now. Whoever closes it says so first.
    pub(crate) reason: CloseReason,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let connections = &self.connections;
        connections.closed[self.reason as usize].fetch_add(1, Ordering::Relaxed);
        connections.held[self.bucket.index()].fetch_sub(1, Ordering::Relaxed);
        connections.live.fetch_sub(1, Ordering::SeqCst);
        connections.note_change();
        connections.completion.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::overload::fairness::{ClientKey, Fairness};

    fn bucket() -> Bucket {
        Fairness::new().bucket(ClientKey::None)
    }

    #[test]
    fn accepted_is_closed_plus_live_at_any_time() {
        let connections = Connections::new(2, Waker::new().unwrap());
        let first = connections.enter(bucket());
        let mut second = connections.enter(bucket());
        assert!(!connections.has_room(false));
        second.reason = CloseReason::IdleTimeout;
        drop(second);
        assert_eq!((connections.accepted(), connections.live()), (2, 1));
        assert_eq!(
            connections.held.iter().map(|held| held.load(Ordering::Relaxed)).sum::<u32>(),
            1
        );
        assert_eq!(connections.closed()[CloseReason::IdleTimeout as usize], 1);
        drop(first);
        assert_eq!(connections.closed().iter().sum::<u64>(), connections.accepted());
    }

    #[test]
    fn a_departure_that_is_awaited_wakes_the_acceptor_once() {
        let connections = Connections::new(2, Waker::new().unwrap());
        let (first, second) = (connections.enter(bucket()), connections.enter(bucket()));
        connections.await_change();
        drop(first);
        assert!(connections.acceptor.clear());
        drop(second);
        assert!(!connections.acceptor.clear());
    }

    #[test]
    fn places_are_kept_for_urgent_listeners_if_there_are_any() {
        for (limit, kept) in [(1, 0), (2, 1), (50, 1), (640, 10), (8192, 64)] {
            let connections = Connections::new(limit, Waker::new().unwrap());
            let mut permits: Vec<_> =
                (0..limit - kept).map(|_| connections.enter(bucket())).collect();
            assert_eq!(connections.has_room(false), kept > 0, "{limit}: without urgent listeners");
            connections.keep_urgent();
            assert!(!connections.has_room(false), "{limit}");
            assert_eq!(connections.has_room(true), kept > 0, "{limit}");
            permits.extend((0..kept).map(|_| connections.enter(bucket())));
            assert!(!connections.has_room(true), "{limit}");
        }
    }
}
