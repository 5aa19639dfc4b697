//! [`Raw`]: packets of an IP protocol, under the transports.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::net::{
    self, AddressFamily, Protocol, RawProtocol, RecvFlags, SendFlags, SocketFlags, SocketType,
    sockopt,
};

use super::endpoint::unfit;
use super::socket::{self, Interest, Received, Socket};
use super::{Addr, Endpoint};
use crate::error::{Error, ErrorKind};
use crate::net::attempt::try_each;

/// A raw socket, `SOCK_RAW`: it receives every packet of its protocol that comes to this machine
/// and sends packets of it. It needs `CAP_NET_RAW`. Dropping it is close(2). See raw(7).
///
/// Over IPv4 each received packet starts with its header, which
/// [`Ipv4Header::decode`](super::Ipv4Header::decode) takes off; over IPv6 it does not (RFC 3542
/// §3).
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
    /// Kept here, since getpeername(2) takes an address without a port for none at all.
    peer: Option<SocketAddr>,
}

impl Raw {
    /// Makes a socket for the protocol of an `ip4:` or `icmp:` endpoint and binds it to the
    /// endpoint's host, so that it receives what comes to that address: socket(2), bind(2).
    ///
    /// # Errors
    /// [`ErrorKind::Permission`] without `CAP_NET_RAW`; as
    /// [`Listener::bind`](super::Listener::bind).
    pub fn bind(endpoint: &Endpoint) -> Result<Self, Error> {
        let bound = Self::make(endpoint, "bind", |fd, addr| net::bind(fd, &addr))?;
        Ok(Self { peer: None, ..bound })
    }

    /// Makes a socket for the protocol of an `ip4:` or `icmp:` endpoint and connects it to the
    /// endpoint's host, so that it sends to there and receives what comes from there: socket(2),
    /// bind(2) to `from`, connect(2).
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn connect(endpoint: &Endpoint, from: Option<SocketAddr>) -> Result<Self, Error> {
        Self::make(endpoint, "connect to", |fd, addr| {
            if let Some(from) = from {
                net::bind(fd, &from)?;
            }
            net::connect(fd, &addr)
        })
    }

    fn make(
        endpoint: &Endpoint,
        verb: &str,
        attach: impl Fn(&OwnedFd, SocketAddr) -> rustix::io::Result<()>,
    ) -> Result<Self, Error> {
        let number = match endpoint {
            Endpoint::Raw { protocol, .. } => Some(*protocol),
            Endpoint::Icmp { .. } => None,
            _ => {
                return Err(unfit(
                    endpoint,
                    "no endpoint of raw packets",
                    "they go to ip4: and icmp:",
                ));
            }
        };
        let made = try_each(endpoint, verb, |addr, _| {
            let ip = addr.as_socket().ok_or(io::ErrorKind::Unsupported)?;
            let protocol = match number {
                Some(number) => RawProtocol::new(number.into()).map(Protocol::from_raw),
                None if ip.is_ipv6() => Some(net::ipproto::ICMPV6),
                None => Some(net::ipproto::ICMP),
            };
            let fd = open(ip.is_ipv6(), SocketType::RAW, protocol)?;
            attach(&fd, ip)?;
            Ok(Self { socket: Socket::new(fd), peer: Some(ip) })
        });
        made.map_err(|error| match error.kind() {
            ErrorKind::Permission => error.with_hint(PRIVILEGE),
            _ => error,
        })
    }

    /// Makes a socket that sends packets whose IPv4 header the program builds
    /// ([`Ipv4Header`](super::Ipv4Header)), of whatever protocol. It receives nothing. This is
    /// `IPPROTO_RAW`, which implies `IP_HDRINCL` (raw(7)).
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_NET_RAW`; those of socket(2).
    pub fn with_own_header() -> io::Result<Self> {
        let fd = open(false, SocketType::RAW, Some(net::ipproto::RAW))?;
        Ok(Self { socket: Socket::new(fd), peer: None })
    }

    /// Receives one packet and the address that it came from: recvfrom(2) with `MSG_TRUNC`.
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking; those of recvfrom(2).
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(Received, Addr)> {
        self.socket.patiently(Interest::Read, || {
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            let (_, full, from) =
                retry_on_intr(|| net::recvfrom(&self.socket.fd, &mut *buf, flags))?;
            Ok((Received::new(buf.len(), full), from.map_or(Addr::Unnamed, Addr::from)))
        })
    }

    /// Sends one packet to an address, whose port is ignored: sendto(2).
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking, `EMSGSIZE` if it is too long; those of sendto(2).
    pub fn send_to(&self, packet: &[u8], to: SocketAddr) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // A port other than zero is EINVAL over IPv6.
        let to = match to {
            SocketAddr::V4(v4) => SocketAddr::from((*v4.ip(), 0)),
            SocketAddr::V6(mut v6) => {
                v6.set_port(0);
                v6.into()
            }
        };
        self.socket.patiently(Interest::Write, || {
            retry_on_intr(|| net::sendto(&self.socket.fd, packet, flags, &to))?;
            Ok(())
        })
    }

    /// Sends one packet on a connected socket: send(2).
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        self.socket.patiently(Interest::Write, || {
            retry_on_intr(|| net::send(&self.socket.fd, packet, flags))?;
            Ok(())
        })
    }

    /// How long each blocking call waits in poll(2); see
    /// [`Stream::set_timeout`](super::Stream::set_timeout).
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.socket.timeout = timeout;
    }

    /// Whether calls that would block fail instead; see
    /// [`Stream::set_nonblocking`](super::Stream::set_nonblocking).
    pub fn set_nonblocking(&mut self, nonblocking: bool) {
        self.socket.timeout = nonblocking.then_some(Duration::ZERO);
    }

    /// Waits until it is ready, poll(2). `false`: the deadline passed.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<bool> {
        socket::wait(&self.socket.fd, interest, deadline)
    }

    /// The address at this end: getsockname(2).
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<Addr> {
        self.socket.local_addr()
    }

    /// The address that it is connected to, with port 0. getpeername(2) would not tell: it takes an
    /// address without a port for none.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The endpoint it is bound to: `ip4:253:127.0.0.1`.
    #[must_use]
    pub fn endpoint_text(&self) -> String {
        match (sockopt::socket_protocol(&self.socket.fd), self.local_addr()) {
            (Ok(Some(protocol)), Ok(Addr::Ip(ip))) => {
                format!("ip4:{}:{}", protocol.as_raw(), ip.ip())
            }
            _ => "ip4:".to_owned(),
        }
    }

    pub(super) fn from_socket(fd: OwnedFd) -> Self {
        Self { socket: Socket::new(fd), peer: None }
    }
}

/// The hint for those who lack the privilege.
pub(super) const PRIVILEGE: &str = "raw sockets need CAP_NET_RAW: run as root, or give the program \
                                    the capability with `setcap cap_net_raw+ep`";

pub(super) fn open(
    v6: bool,
    kind: SocketType,
    protocol: Option<Protocol>,
) -> rustix::io::Result<OwnedFd> {
    let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
    net::socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, protocol)
}

impl AsFd for Raw {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.fd.as_fd()
    }
}
