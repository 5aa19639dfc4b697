//! The handles that a request has to its exchange: they become invalid when the exchange ends.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;

use crate::http::conn::exchange::{Exchange, ExchangeCell};
use crate::net::Addr;
use crate::pool::Connection;
#[cfg(feature = "tls")]
use crate::tls::TlsInfo;

/// The client that sent a request.
pub(crate) struct Client {
    pub(crate) cell: Arc<ExchangeCell>,
    /// The number of the request's exchange.
    pub(crate) number: u64,
    pub(crate) peer: Addr,
    /// The client, if a trusted proxy has named one.
    pub(crate) named: Option<Addr>,
    /// Whether the client used https, with this server or with a trusted proxy.
    pub(crate) is_https: bool,
    /// What was negotiated, if the connection has TLS.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<TlsInfo>>,
    /// How long the request waited in the queue.
    pub(crate) waited: Duration,
    /// When the request entered the queue.
    pub(crate) arrived: Instant,
    /// Whether the peer is a proxy whose `X-Request-Start` counts as time in the queue.
    pub(crate) is_trusted_proxy: bool,
    /// The time that the client allows for it, if it sent that.
    pub(crate) timeout: Option<Duration>,
}

impl Client {
    pub(crate) fn peer(&self) -> &Addr {
        &self.peer
    }

    /// The client's own address, as far as it is known.
    pub(crate) fn addr(&self) -> &Addr {
        self.named.as_ref().unwrap_or(&self.peer)
    }

    pub(crate) fn local(&self) -> Option<Addr> {
        self.with_connection(|connection| connection.wire.stream().local_addr().ok()).flatten()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.with_connection(|connection| !connection.wire.is_gone()).unwrap_or(false)
    }

    /// Calls `f` with the connection, while the exchange lasts.
    fn with_connection<T>(&self, f: impl FnOnce(&Connection) -> T) -> Option<T> {
        let exchange = self.cell.lock();
        match (&exchange.connection, exchange.number == self.number) {
            (Some(connection), true) => Some(f(connection)),
            _ => None,
        }
    }
}

/// The body of a request, which is read from the connection; see [`Body`](crate::http::Body).
pub(crate) struct Incoming {
    cell: Arc<ExchangeCell>,
    number: u64,
    length: Option<u64>,
}

impl Incoming {
    pub(crate) fn new(cell: &Arc<ExchangeCell>, exchange: &Exchange) -> Self {
        Self { cell: Arc::clone(cell), number: exchange.number, length: exchange.length }
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    pub(crate) fn trailers(&self) -> Option<HeaderMap> {
        let exchange = self.cell.lock();
        if exchange.number == self.number { exchange.trailers.clone() } else { None }
    }

    /// Whether this is the body of the exchange with this number.
    pub(crate) fn belongs_to(&self, cell: &Arc<ExchangeCell>, number: u64) -> bool {
        Arc::ptr_eq(&self.cell, cell) && self.number == number
    }
}

impl Read for Incoming {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut exchange = self.cell.lock();
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
