//! How a drain ends the listeners, so that no client loses a connection that the kernel has already
//! made for it.
//!
//! The kernel resets every connection of a listener that is closed before they are accepted.
//! Between the last accept(2) and close(2) another one may have come, and a busy CPU makes that
//! moment milliseconds long. So the drain first lets the kernel make no new connections
//! ([`Listener::stop_connects`](crate::net::Listener::stop_connects)), then accepts those that are
//! there, and closes the listener last. The packets with which other clients begin to connect are
//! dropped meanwhile: the kernels of these clients repeat them after a second, and then find either
//! the port closed or the next program.
//!
//! The backlog of a listener that was passed in stays for the next program.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::pool::acceptor::Acceptor;
use crate::sync::timespec;

/// How long a drain waits for the requests of connections that the kernel keeps until they send
/// something (`TCP_DEFER_ACCEPT`).
const DEFERRED_GRACE: Duration = Duration::from_millis(100);

/// How long a drain waits for the clients that have begun to connect: their part of the handshake
/// takes one round trip. It is short, as a client that connects in this time loses a second. A
/// client that is farther away than this, and begins to connect at this moment, finds its
/// connection reset.
const HANDSHAKE_GRACE: Duration = Duration::from_millis(10);

impl Acceptor {
    /// Accepts the connections that clients have made or begun to make, and then no more.
    pub(super) fn accept_last(&mut self) {
        let own = |index: &usize| !self.sources[*index].listener.is_inherited();
        let own: Vec<usize> = (0..self.sources.len()).filter(own).collect();
        let defers = |index: &usize| self.sources[*index].listener.defers_accept();
        let deferring: Vec<usize> = own.iter().copied().filter(defers).collect();
        deferring.iter().for_each(|index| self.sources[*index].listener.stop_deferring());
        let (draining_since, quarter) =
            (self.shared.draining_since(), self.shared.quarter_of_drain());
        self.accept_until(&deferring, draining_since + DEFERRED_GRACE.min(quarter));
        let stops = |index: &usize| self.sources[*index].listener.stop_connects();
        let stopped: Vec<usize> = own.iter().copied().filter(stops).collect();
        self.accept_until(&stopped, Instant::now() + HANDSHAKE_GRACE.min(quarter));
        for index in own {
            while !self.shared.is_stopped() && self.accept_round(index) {}
        }
    }

    /// Accepts from these listeners until `end`.
    fn accept_until(&mut self, listeners: &[usize], end: Instant) {
        let shared = Arc::clone(&self.shared);
        while !listeners.is_empty() && !shared.is_stopped() && Instant::now() < end {
            // Short, as nothing else wakes this thread any more.
            let tick = timespec(shared.pool.tick.min(HANDSHAKE_GRACE / 4));
            let poll_fd =
                |index: &usize| PollFd::new(&self.sources[*index].listener, PollFlags::IN);
            let _ = poll(&mut listeners.iter().map(poll_fd).collect::<Vec<_>>(), Some(&tick));
            // One round each, so that clients that connect without end do not stretch this time.
            for &index in listeners {
                self.accept_round(index);
            }
        }
    }
}
