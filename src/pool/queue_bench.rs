//! The work queue for the micro-benchmark: a connection goes through it again and again.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::connection::Connection;
use super::queue::{Queue, Work};
use crate::config::Config;
use crate::net::{Addr, Stream};
use crate::pool::connections::Connections;
use crate::pool::overload::controller::Controller;
use crate::pool::overload::fairness::ClientKey;
use crate::sync::Waker;

/// A work queue with one connection to pass through it.
#[derive(Debug)]
pub struct WorkQueue {
    queue: Queue,
    connection: Option<Box<Connection>>,
}

impl WorkQueue {
    /// A queue of this capacity.
    ///
    /// # Panics
    /// If the system gives no descriptors.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let (config, now) = (Config::default(), Instant::now());
        let controller = Controller::new(&config.overload, config.pool.workers, capacity, now);
        let bucket = controller.bucket(ClientKey::None);
        let permit = Connections::new(1, Waker::new().expect("an eventfd")).enter(bucket);
        let (end, _) = UnixStream::pair().expect("a socket pair");
        let stream = Stream::from(OwnedFd::from(end));
        let connection = Connection::new((stream, Addr::Unnamed), 0, false, bucket, permit, now);
        Self { queue: Queue::new(capacity, controller), connection: Some(connection) }
    }

    /// Pushes the connection and takes it again, with both verdicts and their clock.
    pub fn pass(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        self.connection = match self.queue.push(Work::of(connection), Instant::now()) {
            Err((work, _)) => connection_of(work),
            Ok(()) => self.queue.take(Instant::now).and_then(|(queued, _)| {
                self.queue.check_wait(&queued, Instant::now());
                connection_of(queued.work)
            }),
        };
    }
}

fn connection_of(work: Work) -> Option<Box<Connection>> {
    match work {
        Work::Connection(connection) | Work::Continuation(connection) => Some(connection),
        Work::Datagram(_) => None,
    }
}
