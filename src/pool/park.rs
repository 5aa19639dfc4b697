//! How a connection leaves a thread: it is parked, postponed or closed.

use std::sync::Arc;
use std::time::Instant;

use crate::close::CloseReason;
use crate::pool::connection::{Connection, Phase};
use crate::pool::poller::Parked;
use crate::pool::queue::Work;
use crate::pool::shared::Shared;

impl Shared {
    /// Parks a connection. Returns it if it became ready in the meantime.
    pub(super) fn park(
        self: &Arc<Self>,
        connection: Box<Connection>,
        phase: Phase,
        now: Instant,
    ) -> Option<Box<Connection>> {
        let config = self.config.load();
        let phase = match phase {
            // What was read, such as a request for another key, may need a response of TLS itself.
            Phase::Handshake => phase,
            _ if connection.wire.unsent() > 0 => Phase::Write,
            _ => phase,
        };
        if phase == Phase::Write && connection.output.is_overdue(&config.timeouts, now) {
            self.close(connection, CloseReason::WriteTimeout);
            return None;
        }
        match self.poller.park(connection, phase, &config.timeouts, now) {
            Parked::Waits { sooner } => {
                self.note_parked(sooner);
                None
            }
            Parked::Ready(connection) => Some(connection),
            Parked::Failed(connection, error) => {
                log::warn!("{}: cannot park the connection: {error}", connection.peer);
                self.close(connection, CloseReason::SocketError);
                None
            }
        }
    }

    /// Parks a ready connection that the queue has no room for, so that epoll reports it again.
    pub(crate) fn postpone(&self, connection: Box<Connection>, now: Instant) {
        match self.poller.postpone(connection, &self.config.load().timeouts, now) {
            Ok(sooner) => self.note_parked(sooner),
            Err((connection, error)) => {
                log::warn!("{}: cannot park the connection: {error}", connection.peer);
                self.close(connection, CloseReason::SocketError);
            }
        }
    }

    /// A connection was parked. `sooner`: its deadline is the earliest of all.
    pub(crate) fn note_parked(&self, sooner: bool) {
        self.connections.note_change();
        if sooner {
            self.wake_for_deadline();
        }
    }

    /// Closes a connection.
    pub(crate) fn close(&self, mut connection: Box<Connection>, reason: CloseReason) {
        self.poller.forget(connection.token.take());
        connection.close(reason);
    }

    /// Closes the connections that are queued or parked when the server has stopped. Each thread
    /// does so as it ends, because it may have queued or parked one after the others had looked.
    pub(crate) fn close_all(&self) {
        while let Some(queued) = self.queue.take_remaining() {
            match queued.work {
                Work::Connection(connection) | Work::Continuation(connection) => {
                    self.close(connection, CloseReason::DrainTimeout);
                }
                Work::Datagram(datagram) => self.datagrams.release(datagram.bytes.len()),
            }
        }
        self.poller.sweep(|_| true, |connection| self.close(connection, CloseReason::DrainTimeout));
    }
}
