//! [`AdminThread`]: one thread for the admin endpoint and the agent.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::bounded_listener::{BoundedListener, Purpose, Responder};
use super::connection::{Parsed, parser};
use super::options::BoundAdmin;
use super::routes::Routes;
use crate::http::codec::HeadParser;
use crate::pool::guard::persist;
use crate::server::agent::AgentReporter;
use crate::server::handle::Handle;
use crate::sync::{Waker, timespec};

/// The admin thread.
pub(in crate::server) struct AdminThread {
    /// The admin endpoint, the agent's, or both.
    listeners: Vec<BoundedListener>,
    /// Wakes the thread once the server has stopped.
    waker: Arc<Waker>,
    parser: HeadParser,
    responses: Responses,
}

/// What the thread responds on each of its endpoints.
struct Responses {
    routes: Routes,
    agent: AgentReporter,
}

impl AdminThread {
    pub(in crate::server) fn new(bound: BoundAdmin, handle: Handle) -> Self {
        let BoundAdmin { admin, agent, options, waker } = bound;
        let is_unix = admin.as_ref().is_some_and(|(_, is_unix)| *is_unix);
        let admin = admin.map(|(listener, _)| BoundedListener::new(listener, Purpose::Admin));
        let agent = agent.map(|listener| BoundedListener::new(listener, Purpose::Agent));
        Self {
            listeners: admin.into_iter().chain(agent).collect(),
            waker,
            parser: parser(),
            responses: Responses {
                agent: AgentReporter::new(options.agent.reference),
                routes: Routes::new(handle, options, is_unix),
            },
        }
    }

    /// Serves until the server has stopped.
    pub(in crate::server) fn run(mut self) {
        let handle = self.responses.routes.handle().clone();
        let close_all =
            |it: &mut Self| it.listeners.iter_mut().for_each(BoundedListener::close_all);
        persist(handle.shared(), &mut self, close_all, Self::serve);
    }

    fn serve(&mut self) {
        while !self.responses.routes.handle().shared().is_stopped() {
            let (watched, ready) = self.wait();
            let mut ready = ready.into_iter();
            for listener in &mut self.listeners {
                listener.serve(watched, &mut ready, &mut self.parser, &mut self.responses);
            }
        }
    }

    /// Waits for a connection, for progress of one, for a deadline or for the waker. Returns
    /// which descriptors of the listeners are ready, and when these were asked for.
    fn wait(&mut self) -> (Instant, Vec<bool>) {
        let now = Instant::now();
        self.listeners.iter_mut().for_each(|listener| listener.close_overdue(now));
        self.responses.routes.advance(now);
        let mut fds = vec![PollFd::new(&self.waker, PollFlags::IN)];
        self.listeners.iter().for_each(|listener| listener.watch(now, &mut fds));
        let due = self.responses.routes.due().map(|due| due.saturating_duration_since(now));
        let timeout = self.listeners.iter().filter_map(|it| it.due(now)).chain(due).min();
        match poll(&mut fds, timeout.map(timespec).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => log::error!("admin: poll failed: {}", io::Error::from(errno)),
        }
        (now, fds[1..].iter().map(|fd| !fd.revents().is_empty()).collect())
    }
}

impl Responder for Responses {
    fn respond(&mut self, parsed: Parsed) -> Vec<u8> {
        self.routes.respond(parsed)
    }

    fn agent_line(&mut self) -> Vec<u8> {
        let now = Instant::now();
        let is_live = self.routes.is_live(now);
        let handle = self.routes.handle();
        let stats = handle.stats();
        let line = self.agent.line(handle.state(), is_live, (stats.capacity, stats.served), now);
        line.into_bytes()
    }
}
