//! [`Source`]: a listener as the acceptor sees it.

use std::time::Instant;

use crate::net::{Addr, Listener, Stream};
use crate::pool::arrivals::Arrivals;
use crate::pool::overload::fairness::ClientKey;

/// A listener, and the protocol of its connections.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) listener: Listener,
    pub(crate) protocol: u16,
    /// Whether its work is taken first and refused last.
    pub(crate) urgent: bool,
    /// The earliest time at which an accepted connection can have arrived.
    pub(crate) arrivals: Arrivals,
}

impl Source {
    pub(crate) fn new(listener: Listener, protocol: u16, urgent: bool, backlog: u32) -> Self {
        let arrivals = Arrivals::new(Instant::now(), backlog);
        Self { listener, protocol, urgent, arrivals }
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

/// The client whose share of the queue a connection, or its next request, counts for: `client` is
/// the peer, or what a proxy has named.
pub(super) fn client_key(stream: &Stream, client: &Addr) -> ClientKey {
    match client {
        Addr::Ip(addr) => ClientKey::from(addr.ip()),
        _ => stream.peer_uid().map_or(ClientKey::None, ClientKey::Uid),
    }
}
