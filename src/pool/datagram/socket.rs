//! [`DatagramSocket`]: a socket without connections that a server receives from and responds
//! through.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::net::SocketAddrAny;

use crate::net::socket::try_recv_from;
use crate::net::udp_batch::Segments;
use crate::net::{Addr, Datagram, Ipv4Header, Raw, Received};
use crate::pool::datagram::handler::DatagramHandler;
use crate::sync::LogThrottle;

/// A bound socket without connections, and its handler. The acceptor and the workers share it; it
/// is closed when the last of these threads ends.
pub(crate) struct DatagramSocket {
    socket: SocketKind,
    /// The local address of a raw socket. Such a socket receives the packets that it sends, so a
    /// packet from this address is one of the server's own responses.
    own: Option<IpAddr>,
    pub(crate) handler: Arc<dyn DatagramHandler>,
    /// Whether its datagrams are served first, and refused last.
    pub(crate) urgent: bool,
    /// Whether the kernel splits one buffer into many datagrams (`UDP_SEGMENT`).
    pub(crate) segments: Segments,
    /// Limits how often the socket's failures are logged.
    pub(crate) throttle: LogThrottle,
}

/// What a server receives datagrams from.
#[derive(Debug)]
pub(crate) enum SocketKind {
    Datagram(Datagram),
    Raw(Raw),
}

impl DatagramSocket {
    pub(crate) fn new(socket: SocketKind, handler: Arc<dyn DatagramHandler>, urgent: bool) -> Self {
        let own = match &socket {
            SocketKind::Datagram(_) => None,
            SocketKind::Raw(raw) => {
                raw.local_addr().ok().and_then(|addr| Some(addr.as_socket()?.ip()))
            }
        };
        let is_udp = match &socket {
            SocketKind::Datagram(udp) => {
                udp.local_addr().is_ok_and(|addr| addr.as_socket().is_some())
            }
            SocketKind::Raw(_) => false,
        };
        let segments = Segments::new(is_udp);
        Self { socket, own, handler, urgent, segments, throttle: LogThrottle::default() }
    }

    pub(crate) fn local_addr(&self) -> io::Result<Addr> {
        match &self.socket {
            SocketKind::Datagram(socket) => socket.local_addr(),
            SocketKind::Raw(socket) => socket.local_addr(),
        }
    }

    pub(crate) fn endpoint_text(&self) -> String {
        match &self.socket {
            SocketKind::Datagram(socket) => socket.endpoint_text(),
            SocketKind::Raw(socket) => socket.endpoint_text(),
        }
    }

    /// Whether the socket was passed in, so that another program uses it after this one.
    pub(crate) fn is_inherited(&self) -> bool {
        matches!(&self.socket, SocketKind::Datagram(socket) if socket.is_inherited())
    }

    pub(crate) fn receive(
        &self,
        buf: &mut [u8],
    ) -> rustix::io::Result<(Received, Option<SocketAddrAny>)> {
        try_recv_from(self, buf)
    }

    /// The part of a datagram that the handler gets: of a raw packet, the payload behind the
    /// header.
    pub(crate) fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match &self.socket {
            SocketKind::Datagram(_) => bytes,
            SocketKind::Raw(_) => Ipv4Header::decode(bytes).map_or(&[], |(_, payload)| payload),
        }
    }

    /// Whether a datagram from `peer` is one of the server's own responses.
    pub(crate) fn is_own(&self, peer: &Addr) -> bool {
        self.own.is_some() && self.own == peer.as_socket().map(|addr| addr.ip())
    }

    /// How many datagrams the kernel dropped because the receive buffer was full.
    pub(super) fn kernel_drops(&self) -> Option<u64> {
        match &self.socket {
            SocketKind::Datagram(socket) => socket.kernel_drops().ok(),
            SocketKind::Raw(_) => None,
        }
    }
}

impl fmt::Debug for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramSocket").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            SocketKind::Datagram(socket) => socket.as_fd(),
            SocketKind::Raw(socket) => socket.as_fd(),
        }
    }
}
