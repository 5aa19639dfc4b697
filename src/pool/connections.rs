//! [`Connections`]: counts how many connections were accepted, are open and were closed, and for
//! which reason. It limits how many are open.
//!
//! Every accepted connection has a [`Permit`] until it ends. The permit is released by `Drop`, so
//! that no code path, a panic included, can leak a connection's place. Its release wakes the
//! acceptor, if the acceptor waits for a place.
//!
//! If there are urgent listeners, a part of the places is kept for them, so that health checks and
//! operators find one whatever other clients do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::close::CloseReason;
use crate::pool::overload::fairness::{Bucket, HeldConnections};
use crate::sync::Completion;
use crate::sync::Waker;

/// One place in this many is kept for urgent listeners: at least one, and at most this many.
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
    /// Open connections of each client.
    held: HeldConnections,
    accepted: AtomicU64,
    closed: [AtomicU64; CloseReason::COUNT],
    /// Whether the acceptor waits for a connection to end, or to be parked (as a parked one can be
    /// closed to make room).
    awaited: AtomicBool,
    /// Wakes the acceptor.
    pub(crate) acceptor: Waker,
    /// The thread that stops the server waits here for connections, datagrams and threads to end.
    /// While the server runs no thread waits, so that the end of a connection wakes none.
    pub(crate) completion: Completion,
    /// [`Handle::wait`](crate::Handle::wait) waits here for the acceptor to end.
    pub(crate) accepting: Completion,
}

impl Connections {
    pub(crate) fn new(limit: usize, acceptor: Waker, held: HeldConnections) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit),
            keeps_urgent: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            held,
            accepted: AtomicU64::new(0),
            closed: std::array::from_fn(|_| AtomicU64::new(0)),
            awaited: AtomicBool::new(false),
            acceptor,
            completion: Completion::default(),
            accepting: Completion::default(),
        })
    }

    /// Counts a connection of this client that was just accepted.
    pub(crate) fn enter(self: &Arc<Self>, bucket: Bucket) -> Permit {
        self.live.fetch_add(1, Ordering::Relaxed);
        self.held.add(bucket);
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Permit { connections: Arc::clone(self), bucket, reason: CloseReason::ProtocolClosed }
    }

    /// The number of open connections of this client.
    pub(crate) fn held(&self, bucket: Bucket) -> u32 {
        self.held.of(bucket)
    }

    /// Sets the limit. Connections above it stay open.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The limit on open connections.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Keeps places for urgent listeners from now on.
    pub(crate) fn keep_urgent(&self) {
        self.keeps_urgent.store(true, Ordering::Relaxed);
    }

    /// Whether there is a place for one more connection. `urgent`: through an urgent listener.
    pub(crate) fn has_room(&self, urgent: bool) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let kept = !urgent && self.keeps_urgent.load(Ordering::Relaxed);
        let kept = if kept { (limit / KEPT).clamp(1, KEPT).min(limit - 1) } else { 0 };
        self.live() < limit - kept
    }

    /// Whether the limit may be exceeded by one more connection for a moment, until another one can
    /// be closed.
    pub(crate) fn may_overdraw(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        self.live() < limit + (limit / KEPT).clamp(1, KEPT)
    }

    /// Makes the next connection that ends or is parked wake the acceptor. After this call the
    /// acceptor has to look again for a place and for parked connections: a connection that ended
    /// or was parked before the call does not wake it.
    pub(crate) fn await_change(&self) {
        self.awaited.store(true, Ordering::SeqCst);
    }

    /// Wakes the acceptor, if it waits for a connection that has ended or was parked.
    ///
    /// The acceptor sets `awaited` before it looks at the count of open connections and at the
    /// slots. A connection changes the count, or its slot under the slot's lock, before it looks at
    /// `awaited`. So one of the two sees the other.
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
    /// The reason that is counted when the permit is dropped.
    pub(crate) reason: CloseReason,
}

impl Permit {
    /// Counts the connection for another client from now on.
    pub(crate) fn move_to(&mut self, bucket: Bucket) {
        let held = &self.connections.held;
        held.add(bucket);
        held.remove(self.bucket);
        self.bucket = bucket;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let connections = &self.connections;
        connections.closed[self.reason as usize].fetch_add(1, Ordering::Relaxed);
        connections.held.remove(self.bucket);
        connections.live.fetch_sub(1, Ordering::SeqCst);
        connections.note_change();
        connections.completion.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::overload::fairness::{ClientKey, Fairness};

    /// A table with this limit, and a client.
    fn table(limit: usize) -> (Arc<Connections>, Bucket) {
        let fairness = Fairness::new();
        let connections = Connections::new(limit, Waker::new().unwrap(), fairness.held.clone());
        (connections, fairness.bucket(ClientKey::None))
    }

    #[test]
    fn accepted_is_closed_plus_live_at_any_time() {
        let (connections, bucket) = table(2);
        let first = connections.enter(bucket);
        let mut second = connections.enter(bucket);
        assert!(!connections.has_room(false));
        second.reason = CloseReason::IdleTimeout;
        drop(second);
        assert_eq!((connections.accepted(), connections.live()), (2, 1));
        assert_eq!(connections.held(bucket), 1);
        assert_eq!(connections.closed()[CloseReason::IdleTimeout as usize], 1);
        drop(first);
        assert_eq!(connections.closed().iter().sum::<u64>(), connections.accepted());
    }

    #[test]
    fn a_connection_that_moves_to_another_client_counts_once() {
        let fairness = Fairness::new();
        let connections = Connections::new(2, Waker::new().unwrap(), fairness.held.clone());
        let proxy = fairness.bucket(ClientKey::Uid(1));
        let client = fairness.bucket(ClientKey::Uid(2));
        let mut permit = connections.enter(proxy);
        permit.move_to(client);
        let counts =
            |connections: &Connections| (connections.held(proxy), connections.held(client));
        assert_eq!(counts(&connections), (0, 1));
        permit.move_to(client);
        assert_eq!(connections.held(client), 1);
        drop(permit);
        assert_eq!(counts(&connections), (0, 0));
        assert_eq!((connections.accepted(), connections.live()), (1, 0));
    }

    #[test]
    fn an_awaited_end_wakes_the_acceptor_once() {
        let (connections, bucket) = table(2);
        let (first, second) = (connections.enter(bucket), connections.enter(bucket));
        connections.await_change();
        drop(first);
        assert!(connections.acceptor.clear());
        drop(second);
        assert!(!connections.acceptor.clear());
    }

    #[test]
    fn places_are_kept_for_urgent_listeners_if_there_are_any() {
        for (limit, kept) in [(1, 0), (2, 1), (50, 1), (640, 10), (8192, 64)] {
            let (connections, bucket) = table(limit);
            let mut permits: Vec<_> =
                (0..limit - kept).map(|_| connections.enter(bucket)).collect();
            assert_eq!(connections.has_room(false), kept > 0, "{limit}: without urgent listeners");
            connections.keep_urgent();
            assert!(!connections.has_room(false), "{limit}");
            assert_eq!(connections.has_room(true), kept > 0, "{limit}");
            permits.extend((0..kept).map(|_| connections.enter(bucket)));
            assert!(!connections.has_room(true), "{limit}");
        }
    }
}
