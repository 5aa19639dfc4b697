//! [`ClientSocket`]: a connected socket of any type, as the client uses it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use millpond::Error;
use millpond::net::{
    Addr, Datagram, Endpoint, Ipv4Header, Packet, Raw, Received, Stream, Transport, UDP_MAX,
    UnixKind,
};

use super::tls::{TlsClient, TlsTarget};

/// Bytes of the longest record: more than UDP carries, and than the default send buffer of a Unix
/// socket.
pub(super) const MAX_RECORD: usize = 256 * 1024;

/// What to connect to.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) endpoint: &'a Endpoint,
    /// The source address.
    pub(super) from: Option<&'a Addr>,
    /// Set for a connection with TLS.
    pub(super) tls: Option<&'a TlsTarget>,
}

impl Target<'_> {
    /// The endpoint as messages name it: `tls://` if the connection has TLS.
    pub(super) fn text(&self) -> String {
        let text = self.endpoint.to_string();
        match self.tls {
            Some(_) => text.replacen("tcp://", "tls://", 1),
            None => text,
        }
    }
}

/// A connected socket.
#[derive(Debug)]
pub(super) enum ClientSocket {
    Stream(Stream),
    Tls(Box<TlsClient>),
    Packet(Packet),
    Datagram(Datagram),
    Raw(Raw),
}

impl ClientSocket {
    /// Connects, without TLS.
    pub(super) fn open(target: Target<'_>, timeout: Duration) -> Result<Self, Error> {
        let Target { endpoint, from, .. } = target;
        let limit = Some(timeout);
        Ok(match endpoint {
            Endpoint::Unix { kind: UnixKind::Packet, .. } => {
                Self::Packet(Packet::connect(endpoint, from, limit)?)
            }
            Endpoint::Raw { .. } | Endpoint::Icmp { .. } => {
                Self::Raw(Raw::connect(endpoint, from.and_then(Addr::as_socket))?)
            }
            Endpoint::Inet { transport: Transport::Rdm, .. } => {
                Self::Datagram(Datagram::connect(endpoint, from)?)
            }
            _ if endpoint.is_datagram() => Self::Datagram(Datagram::connect(endpoint, from)?),
            _ => Self::Stream(Stream::connect_from(endpoint, from, limit)?),
        })
    }

    /// Whether the other side can end the conversation, which a sender of datagrams cannot.
    pub(super) fn has_end(&self) -> bool {
        matches!(self, Self::Stream(_) | Self::Tls(_) | Self::Packet(_))
    }

    /// Whether a receive returns at once, although the socket may not be readable.
    pub(super) fn has_input(&self) -> bool {
        matches!(self, Self::Tls(client) if client.has_input())
    }

    /// Whether bytes that were sent wait for room in the send buffer of the socket.
    pub(super) fn has_output(&self) -> bool {
        matches!(self, Self::Tls(client) if client.has_output())
    }

    /// Whether one call receives exactly what one call sent.
    pub(super) fn keeps_boundaries(&self) -> bool {
        !matches!(self, Self::Stream(_) | Self::Tls(_))
    }

    /// Bytes that may be sent by one call.
    pub(super) fn max_send(&self) -> usize {
        match self {
            Self::Stream(_) | Self::Tls(_) => 64 * 1024,
            _ => UDP_MAX,
        }
    }

    pub(super) fn set_timeout(&mut self, timeout: Duration) {
        match self {
            Self::Stream(stream) => stream.set_timeout(Some(timeout)),
            Self::Tls(client) => client.set_timeout(timeout),
            Self::Packet(packet) => packet.set_timeout(Some(timeout)),
            Self::Datagram(datagram) => datagram.set_timeout(Some(timeout)),
            Self::Raw(raw) => raw.set_timeout(Some(timeout)),
        }
    }

    /// Sends some of the bytes of a stream, or a whole record.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(stream) => return stream.send(bytes),
            Self::Tls(client) => return client.send(bytes),
            Self::Packet(packet) => packet.send(bytes)?,
            Self::Datagram(datagram) => datagram.send(bytes)?,
            Self::Raw(raw) => raw.send(bytes)?,
        }
        Ok(bytes.len())
    }

    pub(super) fn send_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.send_all(bytes),
            Self::Tls(client) => client.send_all(bytes),
            _ => self.send(bytes).map(|_| ()),
        }
    }

    /// Sends what waits for room.
    pub(super) fn flush(&self) -> io::Result<()> {
        match self {
            Self::Tls(client) => client.flush(),
            _ => Ok(()),
        }
    }

    pub(super) fn recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        match self {
            Self::Stream(stream) => Ok(Received::whole(stream.recv(buf)?)),
            Self::Tls(client) => Ok(Received::whole(client.recv(buf)?)),
            Self::Packet(packet) => packet.recv(buf),
            Self::Datagram(datagram) => datagram.recv(buf),
            Self::Raw(raw) => Ok(raw.recv_from(buf)?.0),
        }
    }

    /// The payload of received bytes, which for a raw packet follows its header.
    pub(super) fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Raw(_) => Ipv4Header::decode(bytes).map_or(bytes, |(_, payload)| payload),
            _ => bytes,
        }
    }

    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.shutdown_write(),
            Self::Tls(client) => client.shutdown_write(),
            Self::Packet(packet) => packet.shutdown_write(),
            Self::Datagram(_) | Self::Raw(_) => Ok(()),
        }
    }

    /// The addresses of both ends.
    pub(super) fn addresses(&self) -> String {
        let (local, peer) = match self {
            Self::Stream(stream) => (stream.local_addr(), stream.peer_addr()),
            Self::Tls(client) => (client.stream().local_addr(), client.stream().peer_addr()),
            Self::Packet(packet) => (packet.local_addr(), packet.peer_addr()),
            Self::Datagram(datagram) => (datagram.local_addr(), datagram.peer_addr()),
            Self::Raw(raw) => {
                (raw.local_addr(), Ok(raw.peer_addr().map_or(Addr::Unnamed, Addr::Ip)))
            }
        };
        let name = |addr: io::Result<Addr>| match addr {
            Ok(Addr::Unnamed) => "unnamed".to_owned(),
            Ok(addr) => addr.to_string(),
            Err(error) => error.to_string(),
        };
        format!("local {}, peer {}", name(local), name(peer))
    }
}

impl AsFd for ClientSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stream(stream) => stream.as_fd(),
            Self::Tls(client) => client.as_fd(),
            Self::Packet(packet) => packet.as_fd(),
            Self::Datagram(datagram) => datagram.as_fd(),
            Self::Raw(raw) => raw.as_fd(),
        }
    }
}
