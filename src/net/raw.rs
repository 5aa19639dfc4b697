//! [`Raw`]: packets of an IP protocol, below UDP and TCP.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{self, AddressFamily, Protocol, RawProtocol, SocketType, sockopt};

use super::attempt::try_each;
use super::endpoint::wrong_endpoint;
use super::socket::{self, Interest, Received, Socket, socket_methods};
use super::{Addr, Endpoint};
use crate::error::{Error, ErrorKind};

/// A raw socket, `SOCK_RAW`: receives every packet of its protocol that arrives at this machine,
/// and sends packets of that protocol. Needs `CAP_NET_RAW`. Dropping it is close(2). See raw(7).
///
/// Over IPv4 a received packet starts with its header, which
/// [`Ipv4Header::decode`](super::Ipv4Header::decode) removes; over IPv6 it does not (RFC 3542 §3).
///
/// # Examples
/// ```no_run
/// use millpond::net::{Endpoint, Ipv4Header, Raw};
///
/// let socket = Raw::bind(&"ip4:253".parse::<Endpoint>()?)?;
/// let mut buf = [0; 1500];
/// let (received, from) = socket.recv_from(&mut buf)?;
/// if let Some((header, payload)) = Ipv4Header::decode(&buf[..received.len]) {
///     println!("{} bytes from {from}, TTL {}", payload.len(), header.ttl);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Raw {
    socket: Socket,
    /// getpeername(2) fails for a raw socket, because its peer has no port.
    peer: Option<SocketAddr>,
}

impl Raw {
    /// Opens a socket for the protocol of an `ip4:` or `icmp:` endpoint and binds it to the
    /// endpoint's host, so that it receives the packets for that address: socket(2), bind(2).
    ///
    /// # Errors
    /// [`ErrorKind::Permission`] without `CAP_NET_RAW`; as
    /// [`Listener::bind`](super::Listener::bind).
    pub fn bind(endpoint: &Endpoint) -> Result<Self, Error> {
        let bound = Self::open(endpoint, "bind", |fd, addr| net::bind(fd, &addr))?;
        Ok(Self { peer: None, ..bound })
    }

    /// Opens a socket for the protocol of an `ip4:` or `icmp:` endpoint and connects it to the
    /// endpoint's host, so that it exchanges packets with that host only: socket(2), bind(2) to
    /// `from` if it is given, connect(2).
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn connect(endpoint: &Endpoint, from: Option<SocketAddr>) -> Result<Self, Error> {
        Self::open(endpoint, "connect to", |fd, addr| {
            if let Some(from) = from {
                net::bind(fd, &from)?;
            }
            net::connect(fd, &addr)
        })
    }

    fn open(
        endpoint: &Endpoint,
        verb: &str,
        attach: impl Fn(&OwnedFd, SocketAddr) -> rustix::io::Result<()>,
    ) -> Result<Self, Error> {
        let number = match endpoint {
            Endpoint::Raw { protocol, .. } => Some(*protocol),
            Endpoint::Icmp { .. } => None,
            _ => return Err(wrong_endpoint(endpoint, "raw packets", "ip4: or icmp:")),
        };
        let opened = try_each(endpoint, verb, |addr, _| {
            let ip = addr.as_socket().ok_or(io::ErrorKind::Unsupported)?;
            let protocol = match number {
                Some(number) => RawProtocol::new(number.into()).map(Protocol::from_raw),
                None => Some(icmp(addr.family())),
            };
            let fd = socket::open(addr.family(), SocketType::RAW, protocol)?;
            attach(&fd, ip)?;
            Ok(Self { socket: Socket::new(fd), peer: Some(ip) })
        });
        opened.map_err(|error| match error.kind() {
            ErrorKind::Permission => error.with_hint(PRIVILEGE),
            _ => error,
        })
    }

    /// Opens a socket that sends packets of any protocol whose IPv4 header the program builds
    /// ([`Ipv4Header`](super::Ipv4Header)). It receives nothing. This is `IPPROTO_RAW`, which
    /// implies `IP_HDRINCL` (raw(7)).
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_NET_RAW`; those of socket(2).
    pub fn with_own_header() -> io::Result<Self> {
        let fd = socket::open(AddressFamily::INET, SocketType::RAW, Some(net::ipproto::RAW))?;
        Ok(Self { socket: Socket::new(fd), peer: None })
    }

    /// Receives one packet and the address of its sender: recvfrom(2) with `MSG_TRUNC`.
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking; those of recvfrom(2).
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(Received, Addr)> {
        self.socket.block(Interest::Read, || self.socket.try_recv_from(buf))
    }

    /// Sends one packet to an address, whose port is ignored: sendto(2).
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking, `EMSGSIZE` if it is too long; those of sendto(2).
    pub fn send_to(&self, packet: &[u8], mut to: SocketAddr) -> io::Result<()> {
        // A port other than zero is EINVAL over IPv6.
        to.set_port(0);
        self.socket.block(Interest::Write, || self.socket.try_send_to(packet, &to))
    }

    /// Sends one packet on a connected socket: send(2).
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.socket.block(Interest::Write, || self.socket.try_send(packet)).map(drop)
    }

    /// The address to which the socket is connected, with port 0.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The endpoint to which the socket is bound: `ip4:253:127.0.0.1`.
    #[must_use]
    pub fn endpoint_text(&self) -> String {
        match (sockopt::socket_protocol(&self.socket.fd), self.local_addr()) {
            (Ok(Some(protocol)), Ok(Addr::Ip(ip))) => {
                format!("ip4:{}:{}", protocol.as_raw(), ip.ip())
            }
            _ => "ip4:".to_owned(),
        }
    }
}

socket_methods!(Raw);

const PRIVILEGE: &str = "raw sockets need CAP_NET_RAW: run as root, or give the program the \
                         capability with `setcap cap_net_raw+ep`";

/// The protocol number of ICMP for a version of IP.
pub(super) fn icmp(family: AddressFamily) -> Protocol {
    if family == AddressFamily::INET6 { net::ipproto::ICMPV6 } else { net::ipproto::ICMP }
}
