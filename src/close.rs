//! Why a connection ended.
//!
//! Every connection ends with exactly one [`CloseReason`]. Each variant has one counter in
//! [`Stats`](crate::Stats) and one line in the debug log, so that the sum of the counters and of
//! the live connections is at any time the number of accepted ones.

use std::fmt;

/// Why a connection ended.
///
/// # Examples
/// ```
/// use millpond::CloseReason;
///
/// assert_eq!(CloseReason::IdleTimeout.name(), "idle_timeout");
/// assert!(CloseReason::ALL.contains(&CloseReason::IdleTimeout));
/// println!("closed: {}", CloseReason::IdleTimeout); // closed: no request came within …
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client closed the connection between two requests, or before the first.
    ClientClosed,
    /// The connection was closed after a response that announced it (`Connection: close`,
    /// HTTP/1.0).
    Finished,
    /// The client closed or reset the connection in the middle of a request or a response.
    ClientGone,
    /// The client had closed before a worker took its request, which was therefore not served.
    ClientGoneInQueue,
    /// No request came within the idle timeout.
    IdleTimeout,
    /// The head of a request did not arrive whole within the head timeout.
    HeadTimeout,
    /// The body of a request made no progress, or too little, within the body timeout.
    BodyTimeout,
    /// The client read nothing, or too little, of a response within the write timeout.
    WriteTimeout,
    /// The table of connections was full, and a connection of the client that had most of them was
    /// closed to make room for another.
    MadeRoom,
    /// The endpoint requires a PROXY header, and the connection did not begin with one.
    NoProxyHeader,
    /// The endpoint requires a PROXY header, and the peer is not a trusted proxy.
    UntrustedProxy,
    /// The bytes received were not a valid request; the response was a 4xx or 5xx.
    BadRequest,
    /// A limit on the size of a request was exceeded; the response was a 413, 414 or 431.
    TooLarge,
    /// The request was refused because of overload; the response was a 503.
    Overloaded,
    /// The connection was refused while the server was draining.
    Draining,
    /// The connection was still open when the drain deadline passed, and was cut off.
    DrainTimeout,
    /// The connection reached its number of requests or its age.
    ConnectionLimit,
    /// The handler panicked; the response was a 500, unless a part of another had been sent.
    HandlerPanicked,
    /// The handler's response could not be sent as declared: its body failed or had another length.
    HandlerFailed,
    /// The connection was passed to an upgrade handler, which has ended.
    Upgraded,
    /// The TLS handshake failed, or what followed it was not valid.
    TlsFailed,
    /// The TLS handshake took longer than its timeout.
    HandshakeTimeout,
    /// A system call on the socket failed in a way that no other reason names.
    SocketError,
    /// The protocol ended the connection by itself.
    ProtocolClosed,
}

impl CloseReason {
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Every reason, in the order of declaration: the index is `reason as usize`.
    pub const ALL: &'static [Self] = &[
        Self::ClientClosed,
        Self::Finished,
        Self::ClientGone,
        Self::ClientGoneInQueue,
        Self::IdleTimeout,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::WriteTimeout,
        Self::MadeRoom,
        Self::NoProxyHeader,
        Self::UntrustedProxy,
        Self::BadRequest,
        Self::TooLarge,
        Self::Overloaded,
        Self::Draining,
        Self::DrainTimeout,
        Self::ConnectionLimit,
        Self::HandlerPanicked,
        Self::HandlerFailed,
        Self::Upgraded,
        Self::TlsFailed,
        Self::HandshakeTimeout,
        Self::SocketError,
        Self::ProtocolClosed,
    ];

    /// Whether all that the server has sent is whole, so that the end of the connection means the
    /// end of the response.
    pub(crate) const fn is_orderly(self) -> bool {
        match self {
            Self::ClientGone
            | Self::ClientGoneInQueue
            | Self::BodyTimeout
            | Self::WriteTimeout
            | Self::DrainTimeout
            | Self::HandlerPanicked
            | Self::HandlerFailed
            | Self::TlsFailed
            | Self::HandshakeTimeout
            | Self::NoProxyHeader
            | Self::UntrustedProxy
            | Self::SocketError => false,
            Self::ClientClosed
            | Self::Finished
            | Self::IdleTimeout
            | Self::HeadTimeout
            | Self::MadeRoom
            | Self::BadRequest
            | Self::TooLarge
            | Self::Overloaded
            | Self::Draining
            | Self::ConnectionLimit
            | Self::Upgraded
            | Self::ProtocolClosed => true,
        }
    }

    /// The name of the counter, in `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::Finished => "finished",
            Self::ClientGone => "client_gone",
            Self::ClientGoneInQueue => "client_gone_in_queue",
            Self::IdleTimeout => "idle_timeout",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::MadeRoom => "made_room",
            Self::NoProxyHeader => "no_proxy_header",
            Self::UntrustedProxy => "untrusted_proxy",
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::DrainTimeout => "drain_timeout",
            Self::ConnectionLimit => "connection_limit",
            Self::HandlerPanicked => "handler_panicked",
            Self::HandlerFailed => "handler_failed",
            Self::Upgraded => "upgraded",
            Self::TlsFailed => "tls_failed",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::SocketError => "socket_error",
            Self::ProtocolClosed => "protocol_closed",
        }
    }

    /// One sentence for the log, without a full stop.
    #[must_use]
    pub const fn explain(self) -> &'static str {
        match self {
            Self::ClientClosed => "the client closed between requests",
            Self::Finished => "the last response was sent",
            Self::ClientGone => "the client closed in the middle of an exchange",
            Self::ClientGoneInQueue => "the client closed before its request was taken",
            Self::IdleTimeout => "no request came within the idle timeout",
            Self::HeadTimeout => "the head of the request took longer than the head timeout",
            Self::BodyTimeout => "the body of the request came too slowly",
            Self::WriteTimeout => "the client read the response too slowly",
            Self::MadeRoom => "the connection was closed to make room for another client's",
            Self::NoProxyHeader => "the connection did not begin with a PROXY header",
            Self::UntrustedProxy => "the peer is not a trusted proxy",
            Self::BadRequest => "the bytes received were not a valid request",
            Self::TooLarge => "the request exceeded a limit",
            Self::Overloaded => "the server was overloaded",
            Self::Draining => "the server was stopping",
            Self::DrainTimeout => "the drain deadline passed",
            Self::ConnectionLimit => "the connection reached its number of requests or its age",
            Self::HandlerPanicked => "the handler panicked",
            Self::HandlerFailed => "the handler's response could not be sent as declared",
            Self::Upgraded => "the upgraded connection ended",
            Self::TlsFailed => "the TLS handshake failed, or a record was not valid",
            Self::HandshakeTimeout => "the TLS handshake took longer than its timeout",
            Self::SocketError => "a system call on the socket failed",
            Self::ProtocolClosed => "the protocol ended the connection",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_reason_is_its_discriminant() {
        for (index, &reason) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }

    #[test]
    fn names_are_distinct() {
        let names: std::collections::HashSet<_> =
            CloseReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), CloseReason::COUNT);
    }
}
