//! [`Source`]: a listener as the acceptor sees it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustix::io::Errno;

use crate::net::{Addr, Listener, Stream};
use crate::pool::arrivals::Arrivals;
use crate::pool::overload::fairness::ClientKey;
use crate::pool::overload::refusal_budget::Refused;
use crate::pool::stats::counters::AcceptCounters;
use crate::pool::wire::Wire;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// A listener, and the protocol of its connections.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) listener: Listener,
    pub(crate) protocol: u16,
    /// Whether its work is taken first and refused last.
    pub(crate) urgent: bool,
    /// Whether each of its connections begins with a PROXY header.
    pub(crate) proxy_header: bool,
    /// The earliest time at which an accepted connection can have arrived.
    pub(crate) arrivals: Arrivals,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

/// The result of one accept(2).
pub(crate) enum Accepted {
    /// A connection.
    One(Stream, Addr),
    /// An error of one connection, or a signal: try again.
    Again,
    /// The backlog is empty.
    Empty,
    /// No descriptors or no memory: pause.
    Exhausted(io::Error),
}

impl Source {
    pub(crate) fn new(listener: Listener, protocol: u16, urgent: bool, backlog: u32) -> Self {
        let arrivals = Arrivals::new(Instant::now(), backlog);
        Self {
            listener,
            protocol,
            urgent,
            proxy_header: false,
            arrivals,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Accepts one connection: accept(2).
    pub(crate) fn accept(&self, counters: &AcceptCounters) -> Accepted {
        let error = match self.listener.accept() {
            Ok((stream, addr)) => return Accepted::One(stream, addr),
            Err(error) => error,
        };
        match Errno::from_io_error(&error) {
            Some(Errno::AGAIN) => Accepted::Empty,
            Some(Errno::INTR) => {
                count(&counters.interrupted);
                Accepted::Again
            }
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                Accepted::Exhausted(error)
            }
            // accept(2) on Linux also reports pending network errors of the new connection, which
            // concern that connection alone. An unknown error is treated likewise: ending the
            // server would not help.
            _ => {
                count(&counters.skipped);
                log::debug!("accept: {error}");
                Accepted::Again
            }
        }
    }

    /// Sets the certificates, if its connections have TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn with_tls(mut self, tls: Option<Tls>) -> Self {
        self.tls = tls;
        self
    }

    /// The certificates, if its connections have TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn certificates(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The endpoint with the actual port: `tls://[::]:8443`.
    pub(crate) fn endpoint_text(&self) -> String {
        let text = self.listener.endpoint_text();
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return tls_text(&text);
        }
        text
    }

    /// What is refused with a new connection of this listener.
    pub(crate) fn refused(&self) -> Refused {
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return Refused::Handshake;
        }
        Refused::Request
    }

    /// What carries a connection of this listener.
    pub(crate) fn wire(&self, stream: Stream) -> Wire {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return Wire::tls(stream, tls.clone());
        }
        Wire::from(stream)
    }

    pub(crate) fn set_backlog(&mut self, backlog: u32) {
        match self.listener.set_backlog(backlog) {
            Ok(()) => self.arrivals.set_backlog(backlog),
            Err(error) => {
                log::warn!("{}: cannot set the backlog to {backlog}: {error}", self.listener);
            }
        }
    }
}

/// The text of an endpoint with TLS: `tls://[::]:8443`.
#[cfg(feature = "tls")]
pub(crate) fn tls_text(endpoint: &str) -> String {
    endpoint.replacen("tcp://", "tls://", 1)
}

/// The client whose share of the queue a connection, or its next request, counts for: `client` is
/// the peer, or what a proxy has named.
pub(super) fn client_key(stream: &Stream, client: &Addr) -> ClientKey {
    match client {
        Addr::Ip(addr) => ClientKey::from(addr.ip()),
        _ => stream.peer_uid().map_or(ClientKey::None, ClientKey::Uid),
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
