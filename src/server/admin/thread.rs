//! [`AdminThread`]: one thread for the admin endpoint.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::connection::{AdminConnection, Pause, parser};
use super::options::BoundAdmin;
use super::routes::Routes;
use crate::http::codec::HeadParser;
use crate::net::Listener;
use crate::pool::guard::persist;
use crate::server::handle::Handle;
use crate::sync::{Waker, timespec};

/// Connections at once. A further one replaces one that only waits.
const CONNECTIONS: usize = 8;
/// One connection is accepted in this time, on average: a flood costs a few per cent of one core.
const ACCEPT_GAP: Duration = Duration::from_millis(4);
/// Connections that may be accepted at once.
const ACCEPT_BURST: u32 = 64;
/// How long accepting pauses when the process has no descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// The admin thread.
pub(in crate::server) struct AdminThread {
    listener: Listener,
    /// Wakes the thread once the server has stopped.
    waker: Arc<Waker>,
    connections: Vec<AdminConnection>,
    parser: HeadParser,
    routes: Routes,
    /// When the rate of accepted connections would be the average again.
    accepted_until: Instant,
}

impl AdminThread {
    pub(in crate::server) fn new(bound: BoundAdmin, handle: Handle) -> Self {
        let BoundAdmin { listener, is_unix, options, waker } = bound;
        Self {
            listener,
            waker,
            connections: Vec::with_capacity(CONNECTIONS),
            parser: parser(),
            routes: Routes::new(handle, options, is_unix),
            accepted_until: Instant::now(),
        }
    }

    /// Serves until the server has stopped.
    pub(in crate::server) fn run(mut self) {
        let handle = self.routes.handle().clone();
        persist(handle.shared(), &mut self, |it| it.connections.clear(), Self::serve);
    }

    fn serve(&mut self) {
        while !self.routes.handle().shared().is_stopped() {
            let (accepts, ready) = self.wait();
            // From the last to the first, so that removing one moves none that is still to come.
            for index in (0..ready.len()).rev().filter(|index| ready[*index]) {
                if proceed(&mut self.connections[index], &mut self.parser, &mut self.routes) {
                    self.connections.swap_remove(index);
                }
            }
            if accepts {
                self.accept();
            }
        }
    }

    /// Waits for a connection, for progress of one, for a deadline or for the waker. Returns
    /// whether there are connections to accept, and which connections may proceed.
    fn wait(&mut self) -> (bool, Vec<bool>) {
        let now = Instant::now();
        self.connections.retain(|connection| now < connection.deadline());
        self.routes.advance(now);
        let pause = self.accepted_until.saturating_duration_since(now);
        let pause = pause.saturating_sub(ACCEPT_GAP * ACCEPT_BURST);
        let mut fds = vec![PollFd::new(&self.waker, PollFlags::IN)];
        for connection in &self.connections {
            fds.push(PollFd::from_borrowed_fd(connection.as_fd(), connection.events()));
        }
        if pause.is_zero() {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        let deadlines = self.connections.iter().map(AdminConnection::deadline);
        let due = deadlines.chain(self.routes.due()).min();
        let due = due.map(|due| due.saturating_duration_since(now));
        let timeout = due.into_iter().chain((!pause.is_zero()).then_some(pause)).min();
        match poll(&mut fds, timeout.map(timespec).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => log::error!("admin: poll failed: {}", io::Error::from(errno)),
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let count = self.connections.len();
        let ready = fds[1..=count].iter().map(is_ready).collect();
        (fds.get(1 + count).is_some_and(is_ready), ready)
    }

    fn accept(&mut self) {
        for _ in 0..CONNECTIONS {
            let now = Instant::now();
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.accepted_until = self.accepted_until.max(now) + ACCEPT_GAP;
                    let mut connection = AdminConnection::new(stream, now);
                    // The request has often arrived with the connection.
                    if !proceed(&mut connection, &mut self.parser, &mut self.routes) {
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
fn proceed(connection: &mut AdminConnection, parser: &mut HeadParser, routes: &mut Routes) -> bool {
    connection.proceed(parser, &mut |parsed| routes.respond(parsed)) == Pause::Done
}
