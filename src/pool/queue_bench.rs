//! [`WorkQueue`]: the work queue for the micro-benchmark, with one connection to pass through it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use crate::config::Config;
use crate::net::{Addr, Stream};
use crate::pool::connection::Connection;
use crate::pool::connections::Connections;
use crate::pool::overload::controller::Controller;
use crate::pool::overload::fairness::ClientKey;
use crate::pool::queue::{Queue, Work};
use crate::sync::Waker;

/// A work queue, and a connection to pass through it again and again.
#[derive(Debug)]
pub struct WorkQueue {
    queue: Queue,
    connection: Option<Box<Connection>>,
}

impl WorkQueue {
    /// A queue of `capacity`.
    ///
    /// # Panics
    /// If the process has no descriptors left.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let (config, now) = (Config::default(), Instant::now());
        let controller = Controller::new(&config.overload, config.pool.workers, capacity, now);
        let bucket = controller.bucket(ClientKey::None);
        let waker = Waker::new().expect("an eventfd");
        let permit = Connections::new(1, waker, controller.held_connections()).enter(bucket);
        let (end, _) = UnixStream::pair().expect("a socket pair");
        let stream = Stream::from(OwnedFd::from(end));
        let end = (stream.into(), Addr::Unnamed);
        let connection = Connection::new(end, 0, false, bucket, permit, now);
        Self { queue: Queue::new(capacity, controller), connection: Some(connection) }
    }

    /// Pushes the connection and takes it again, with both decisions and the clock that they need.
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
