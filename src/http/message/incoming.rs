//! What a handler holds of the exchange it is in: handles that go stale with it.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::http::conn::exchange::{Exchange, Link};
use crate::net::Addr;
use crate::pool::Connection;

/// The client behind a request.
pub(crate) struct Client {
    pub(crate) link: Arc<Link>,
    pub(crate) number: u64,
    pub(crate) peer: Addr,
    /// How long the request waited in the queue.
    pub(crate) waited: Duration,
}

impl Client {
    pub(crate) fn peer(&self) -> &Addr {
        &self.peer
    }

    pub(crate) fn local(&self) -> Option<Addr> {
        self.look(|connection| connection.stream.local_addr().ok()).flatten()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.look(|connection| !connection.stream.is_gone()).unwrap_or(false)
    }

    fn look<T>(&self, look: impl FnOnce(&Connection) -> T) -> Option<T> {
        let exchange = self.link.lock();
        match (&exchange.connection, exchange.number == self.number) {
            (Some(connection), true) => Some(look(connection)),
            _ => None,
        }
    }
}

/// A request's body, read from the connection; see [`Body`](crate::http::Body).
pub struct Incoming {
    link: Arc<Link>,
    number: u64,
    length: Option<u64>,
}

impl Incoming {
    pub(crate) fn new(link: &Arc<Link>, exchange: &Exchange) -> Self {
        Self { link: Arc::clone(link), number: exchange.number, length: exchange.length }
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    pub(crate) fn trailers(&self) -> Option<HeaderMap> {
        let exchange = self.link.lock();
        if exchange.number == self.number { exchange.trailers.clone() } else { None }
    }

    /// Whether it is the body of this exchange.
    pub(crate) fn belongs_to(&self, link: &Arc<Link>, number: u64) -> bool {
        Arc::ptr_eq(&self.link, link) && self.number == number
    }
}

impl Read for Incoming {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut exchange = self.link.lock();
        if exchange.number != self.number {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the exchange is over"));
        }
        exchange.read_body(buf)
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("length", &self.length).finish_non_exhaustive()
    }
}
