//! [`BoundedListener`]: a listener of the admin thread, and its few connections.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::connection::{AdminConnection, Parsed, Pause};
use crate::http::codec::HeadParser;
use crate::net::Listener;

/// Connections at once. A further one replaces one that only waits.
const CONNECTIONS: usize = 8;
/// One connection is accepted in this time, on average: a flood costs a few per cent of one core.
const ACCEPT_GAP: Duration = Duration::from_millis(4);
/// Connections that may be accepted at once.
const ACCEPT_BURST: u32 = 64;
/// How long accepting pauses when the process has no descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// What the connections of a listener are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// One exchange of HTTP each.
    Admin,
    /// One line each, whatever the client sends.
    Agent,
}

/// What to send: see [`Purpose`].
pub(super) trait Responder {
    /// The bytes of the response to a request, or to bytes that are none.
    fn respond(&mut self, parsed: Parsed) -> Vec<u8>;

    /// The line of the agent.
    fn agent_line(&mut self) -> Vec<u8>;
}

/// A listener and its connections, with the bounds of both.
pub(super) struct BoundedListener {
    listener: Listener,
    purpose: Purpose,
    connections: Vec<AdminConnection>,
    /// When the rate of accepted connections would be the average again.
    accepted_until: Instant,
}

impl BoundedListener {
    pub(super) fn new(listener: Listener, purpose: Purpose) -> Self {
        Self {
            listener,
            purpose,
            connections: Vec::with_capacity(CONNECTIONS),
            accepted_until: Instant::now(),
        }
    }

    /// Closes every connection.
    pub(super) fn close_all(&mut self) {
        self.connections.clear();
    }

    /// Closes the connections whose time is over.
    pub(super) fn close_overdue(&mut self, now: Instant) {
        self.connections.retain(|connection| now < connection.deadline());
    }

    /// Adds what it waits for: a descriptor for each connection and, unless accepting pauses, one
    /// for the listener.
    pub(super) fn watch<'fd>(&'fd self, now: Instant, fds: &mut Vec<PollFd<'fd>>) {
        for connection in &self.connections {
            fds.push(PollFd::from_borrowed_fd(connection.as_fd(), connection.events()));
        }
        if self.pause(now).is_zero() {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
    }

    /// When it goes on without an event: the first deadline of a connection, or the end of a pause.
    pub(super) fn due(&self, now: Instant) -> Option<Duration> {
        let deadlines = self.connections.iter().map(AdminConnection::deadline);
        let first = deadlines.min().map(|due| due.saturating_duration_since(now));
        let pause = self.pause(now);
        first.into_iter().chain((!pause.is_zero()).then_some(pause)).min()
    }

    /// How long accepting pauses, at `now`.
    fn pause(&self, now: Instant) -> Duration {
        let pause = self.accepted_until.saturating_duration_since(now);
        pause.saturating_sub(ACCEPT_GAP * ACCEPT_BURST)
    }

    /// Serves what is ready. `ready`: for each descriptor that [`watch`](Self::watch) added at
    /// `watched`, in that order; the rest belongs to other listeners.
    pub(super) fn serve(
        &mut self,
        watched: Instant,
        ready: &mut dyn Iterator<Item = bool>,
        parser: &mut HeadParser,
        responder: &mut dyn Responder,
    ) {
        let ready_connections: Vec<bool> = ready.take(self.connections.len()).collect();
        let accepts = self.pause(watched).is_zero() && ready.next() == Some(true);
        // From the last to the first, so that removing one moves none that is still to come.
        for (index, _) in ready_connections.iter().enumerate().rev().filter(|(_, ready)| **ready) {
            if proceed(&mut self.connections[index], parser, responder) {
                self.connections.swap_remove(index);
            }
        }
        if accepts {
            self.accept(parser, responder);
        }
    }

    fn accept(&mut self, parser: &mut HeadParser, responder: &mut dyn Responder) {
        for _ in 0..CONNECTIONS {
            let now = Instant::now();
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.accepted_until = self.accepted_until.max(now) + ACCEPT_GAP;
                    let mut connection = AdminConnection::new(stream, now);
                    if self.purpose == Purpose::Agent {
                        connection.send_only(responder.agent_line());
                    }
                    // The request has often arrived with the connection.
                    if !proceed(&mut connection, parser, responder) {
                        self.keep(connection);
                    }
                }
                Err(error) => {
                    let errno = Errno::from_io_error(&error);
                    let is_exhausted = |errno| {
                        matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
                    };
                    if errno.is_some_and(is_exhausted) {
                        let burst = ACCEPT_GAP * ACCEPT_BURST;
                        self.accepted_until = now + burst + EXHAUSTED_PAUSE;
                    }
                    return;
                }
            }
        }
    }

    /// Keeps a connection. If there are too many, it replaces the one that has waited longest,
    /// first among those that have sent nothing.
    fn keep(&mut self, connection: AdminConnection) {
        if self.connections.len() == CONNECTIONS {
            let waiting = self.connections.iter().enumerate();
            let oldest = waiting.min_by_key(|(_, it)| (!it.is_silent(), it.deadline()));
            if let Some((index, _)) = oldest {
                self.connections.swap_remove(index);
            }
        }
        self.connections.push(connection);
    }
}

/// Returns whether the connection is over.
fn proceed(
    connection: &mut AdminConnection,
    parser: &mut HeadParser,
    responder: &mut dyn Responder,
) -> bool {
    connection.proceed(parser, &mut |parsed| responder.respond(parsed)) == Pause::Done
}
