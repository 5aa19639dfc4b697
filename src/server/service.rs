//! [`Service`]: the protocols and handlers of an endpoint, for every kind of socket.

use std::fmt;
use std::sync::Arc;

use crate::config::Config;
use crate::error::Error;
use crate::handlers::Echo;
use crate::http::{Handler, Http, ProblemWriter};
use crate::pool::datagram::seqpacket::SeqpacketProtocol;
use crate::pool::{DatagramHandler, Protocol};

/// The protocols and handlers of an endpoint. Clones are the same service.
///
/// A service may have one part for each kind of socket. The endpoint's kind determines which part
/// is used.
///
/// | Endpoint | Part |
/// |---|---|
/// | `tcp:`, `unix:` | [`http`](Self::http) or [`echo`](Self::echo) |
/// | `unixpacket:` | [`packets`](Self::packets) |
/// | `udp:`, `unixgram:`, `ip4:` | [`datagrams`](Self::datagrams) |
///
/// # Examples
/// Two services of one server, which share its workers and its queue:
/// ```
/// use millpond::http::{Request, Response};
/// use millpond::{Bind, Server, Service};
///
/// let echo = Service::echo();
/// let server = Server::builder()
///     .bind("tcp://127.0.0.1:0")
///     .bind(Bind::to("tcp://127.0.0.1:0").with(echo.clone()))
///     .bind(Bind::to("udp://127.0.0.1:0").with(echo))
///     .http(|_req: &mut Request| Response::text("Hello, world!")).build()?;
/// assert_eq!(server.endpoints().len(), 3);
/// # Ok::<(), millpond::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Service {
    streams: Option<ConnectionService>,
    packets: Option<ConnectionService>,
    datagrams: Option<Arc<dyn DatagramHandler>>,
}

/// The protocol on a connection.
#[derive(Clone)]
pub(super) enum ConnectionService {
    Http(Arc<dyn Handler>),
    Protocol(Arc<dyn Protocol>),
    Packets(Arc<dyn DatagramHandler>),
}

impl Service {
    /// HTTP/1.1, with responses from `handler`.
    pub fn http(handler: impl Handler) -> Self {
        Self { streams: Some(ConnectionService::Http(Arc::new(handler))), ..Self::default() }
    }

    /// Echo (RFC 862) on every kind of socket: see [`Echo`].
    pub fn echo() -> Self {
        Self::protocol(Echo).and_packets(Echo).and_datagrams(Echo)
    }

    /// A protocol on streams.
    pub(super) fn protocol(protocol: impl Protocol) -> Self {
        Self { streams: Some(ConnectionService::Protocol(Arc::new(protocol))), ..Self::default() }
    }

    /// Datagrams, with at most one datagram in response to each: UDP, Unix datagrams, and the
    /// packets of an IPv4 protocol over a raw socket.
    pub fn datagrams(handler: impl DatagramHandler) -> Self {
        Self::default().and_datagrams(handler)
    }

    /// Connections that preserve record boundaries (`unixpacket:`), with at most one record in
    /// response to each.
    pub fn packets(handler: impl DatagramHandler) -> Self {
        Self::default().and_packets(handler)
    }

    /// Adds a part for [`datagrams`](Self::datagrams).
    #[must_use]
    pub fn and_datagrams(mut self, handler: impl DatagramHandler) -> Self {
        self.datagrams = Some(Arc::new(handler));
        self
    }

    /// Adds a part for [`packets`](Self::packets).
    #[must_use]
    pub fn and_packets(mut self, handler: impl DatagramHandler) -> Self {
        self.packets = Some(ConnectionService::Packets(Arc::new(handler)));
        self
    }

    /// The part for stream connections, or for connections with record boundaries.
    pub(super) fn connection_service(&self, packets: bool) -> Option<&ConnectionService> {
        if packets { self.packets.as_ref() } else { self.streams.as_ref() }
    }

    pub(super) fn datagram_handler(&self) -> Option<&Arc<dyn DatagramHandler>> {
        self.datagrams.as_ref()
    }

    /// The names of its parts, for error messages.
    pub(super) fn describe(&self) -> String {
        let streams = self.streams.as_ref().map(|service| match service {
            ConnectionService::Http(_) => "HTTP",
            _ => "streams",
        });
        let parts = [
            streams,
            self.packets.as_ref().map(|_| "sequenced packets"),
            self.datagrams.as_ref().map(|_| "datagrams"),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl ConnectionService {
    /// Whether both are the same service. Two services of one kind are not.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(one), Self::Http(other)) => Arc::ptr_eq(one, other),
            (Self::Protocol(one), Self::Protocol(other)) => Arc::ptr_eq(one, other),
            (Self::Packets(one), Self::Packets(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Whether the server waits for the client's first bytes before it sends any.
    pub(super) fn client_sends_first(&self) -> bool {
        matches!(self, Self::Http(_))
    }

    /// Checks the handler's own configuration.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Http(handler) => handler.check(),
            Self::Protocol(_) | Self::Packets(_) => Ok(()),
        }
    }

    /// Makes the protocol that the threads of a server use.
    pub(super) fn start(&self, problems: &ProblemWriter, config: &Config) -> Arc<dyn Protocol> {
        match self {
            Self::Http(handler) => {
                Arc::new(Http::new(Arc::clone(handler), problems.clone(), config))
            }
            Self::Protocol(protocol) => Arc::clone(protocol),
            Self::Packets(handler) => Arc::new(SeqpacketProtocol::new(Arc::clone(handler))),
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({})", self.describe())
    }
}
