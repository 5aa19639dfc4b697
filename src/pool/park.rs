//! How a connection leaves a thread: parked, put off, or closed.

use std::sync::Arc;
use std::time::Instant;

use crate::close::CloseReason;
use crate::pool::connection::{Connection, Phase};
use crate::pool::poller::Parked;
use crate::pool::queue::Work;
use crate::pool::shared::Shared;

impl Shared {
    /// Parks a connection; gives it back if it became ready meanwhile.
    pub(crate) fn park(
        self: &Arc<Self>,
        connection: Box<Connection>,
        phase: Phase,
        now: Instant,
    ) -> Option<Box<Connection>> {
        let config = self.config.load();
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
                log::warn!("{}: cannot wait for it: {error}", connection.peer);
                self.close(connection, CloseReason::SocketError);
                None
            }
        }
    }

    /// Parks a connection that is ready, but for which there is no room: epoll reports it again.
    pub(crate) fn put_off(&self, connection: Box<Connection>, now: Instant) {
        match self.poller.postpone(connection, &self.config.load().timeouts, now) {
            Ok(sooner) => self.note_parked(sooner),
            Err((connection, error)) => {
                log::warn!("{}: cannot wait for it: {error}", connection.peer);
                self.close(connection, CloseReason::SocketError);
            }
        }
    }

    /// A connection was parked. `sooner`: its deadline is the first of all.
    pub(crate) fn note_parked(&self, sooner: bool) {
        self.connections.note_change();
        if sooner {
            self.reschedule();
        }
    }

    /// Ends a connection.
    pub(crate) fn close(&self, mut connection: Box<Connection>, reason: CloseReason) {
        self.poller.forget(connection.token.take());
        connection.close(reason);
    }

    /// Closes what the queue and parking still have of a stopped server. Each thread does so when
    /// it ends, because it may have put something there after the others looked.
    pub(crate) fn cut_off(&self) {
        while let Some(ticket) = self.queue.take_left() {
            match ticket.work {
                Work::Connection(connection) | Work::Continuation(connection) => {
                    self.close(connection, CloseReason::DrainTimeout);
                }
                Work::Datagram(datagram) => self.datagrams.leave(datagram.bytes.len()),
            }
        }
        self.poller.sweep(|_| true, |connection| self.close(connection, CloseReason::DrainTimeout));
    }
}
