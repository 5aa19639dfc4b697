//! Which client a trusted proxy sends a request of: before the request waits for a worker, and when
//! a worker serves it.

use std::io;
use std::ops::ControlFlow::{self, Break, Continue};

use http::HeaderMap;

use super::exchange::Exchange;
use crate::close::CloseReason;
use crate::http::codec::forwarded::{Forwarded, ProxyFields};
use crate::http::codec::reject::Reject;
use crate::http::codec::request::{Head, HeadParser};
use crate::net::Addr;
use crate::pool::{Connection, Outcome, Phase, TurnContext};

impl Exchange {
    /// Parses the head of the next request, without using its bytes, and reads it first if it is
    /// not there. `None`: it is not complete, and there is nothing more to read. `Break`: the
    /// connection has ended.
    pub(super) fn peek_head(
        &mut self,
        parser: &mut HeadParser,
        connection: &mut Connection,
        limit: usize,
    ) -> ControlFlow<CloseReason, Result<Option<(usize, Head)>, Reject>> {
        loop {
            // A request that was read before comes first: its client may have ended since.
            let head = parser.parse(self.input.filled(), &mut connection.scanned);
            // The connection may be parked only once a read has found no more input: epoll reports
            // an edge, and does not report input again that has arrived before.
            if !connection.unread || !matches!(head, Ok(None)) {
                return Continue(head);
            }
            match self.input.fill(&mut connection.wire, limit) {
                Ok((0, _)) => return Break(CloseReason::ClientClosed),
                Ok((_, all)) => connection.note_read(all),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.unread = false;
                }
                Err(_) => return Break(CloseReason::ClientGone),
            }
        }
    }

    /// Names the client of the connection's next request, whose peer is a trusted proxy: see
    /// [`ProtocolWorker::identify`](crate::pool::ProtocolWorker::identify).
    pub(super) fn identify(
        &mut self,
        fields: &ProxyFields,
        parser: &mut HeadParser,
        mut connection: Box<Connection>,
        turn: &TurnContext<'_>,
    ) -> Outcome {
        connection.input_lease = None;
        self.input.load(std::mem::take(&mut connection.input));
        let head = self.peek_head(parser, &mut connection, turn.config().limits.head);
        connection.input = self.input.unload();
        let waits = match head {
            Continue(Ok(Some((_, head)))) => {
                let forwarded = read(fields, &connection, &head.headers);
                connection.set_forwarded(forwarded.and_then(|it| it.client));
                // Without a proxy that is trusted, the connection is that of a single client.
                connection.from_proxy = forwarded.is_some();
                parser.recycle(head.headers);
                false
            }
            Continue(Ok(None)) => true,
            // The worker finds the same fault, and responds to it.
            Continue(Err(_)) => {
                connection.scanned = 0;
                connection.set_forwarded(None);
                false
            }
            // So that every end of a connection is found in one place, the worker reads it again.
            Break(_) => false,
        };
        if !turn.lease_input(&mut connection) {
            return Outcome::Close(connection, CloseReason::Overloaded);
        }
        match (waits, connection.phase) {
            (false, _) => Outcome::Requeue(connection),
            (true, Phase::Idle) if connection.input.is_empty() => {
                Outcome::Park(connection, Phase::Idle)
            }
            (true, _) => Outcome::Park(connection, Phase::Head),
        }
    }

    /// What a trusted proxy says about the request with these fields, which the worker serves from
    /// now on: it counts for the client that is named. `None`: there is no trusted proxy.
    pub(super) fn serve_for(
        &mut self,
        fields: &ProxyFields,
        headers: &HeaderMap,
        turn: &TurnContext<'_>,
    ) -> Option<Forwarded> {
        let connection = self.connection.as_mut()?;
        let forwarded = read(fields, connection, headers)?;
        turn.serve_for(connection, forwarded.client);
        Some(forwarded)
    }
}

/// What the fields say, if they are those of a trusted proxy: of the client that a PROXY header has
/// named, or else of the peer. A client that is not a trusted proxy itself sends fields of its own,
/// whichever proxy they come through; so may a client that the header does not name.
fn read(fields: &ProxyFields, connection: &Connection, headers: &HeaderMap) -> Option<Forwarded> {
    let nearest = connection.client.as_deref().unwrap_or(&connection.peer);
    fields.proxy().trusts(nearest).then(|| match connection.hides_client {
        true => Forwarded::default(),
        false => fields.read(headers),
    })
}

/// Whether the connection itself is encrypted. Nothing else decides whether a request came by https
/// if no trusted proxy says so.
fn is_encrypted(connection: &Connection) -> bool {
    connection.wire.is_tls()
}

/// Who sent a request, and how.
pub(super) struct RequestOrigin {
    pub(super) peer: Addr,
    /// The client, if a trusted proxy has named one.
    pub(super) named: Option<Addr>,
    /// Whether the fields of the request are those of a trusted proxy.
    pub(super) is_trusted_proxy: bool,
    pub(super) is_https: bool,
}

impl RequestOrigin {
    /// `forwarded`: what a trusted proxy says; `None` if there is none.
    pub(super) fn new(connection: &Connection, forwarded: Option<Forwarded>) -> Self {
        let named = forwarded.and_then(|it| it.client).map(Addr::Ip);
        let is_https = forwarded.and_then(|it| it.is_https);
        Self {
            peer: connection.peer.clone(),
            named: named.or_else(|| connection.client.as_deref().cloned()),
            is_trusted_proxy: forwarded.is_some(),
            is_https: is_https.unwrap_or_else(|| is_encrypted(connection)),
        }
    }
}
