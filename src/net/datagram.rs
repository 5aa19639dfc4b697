//! [`Datagram`]: sockets without connections, UDP and Unix.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketType, sockopt};

use super::attempt::{AttemptError, bind_each, try_each};
use super::endpoint::{scheme, wrong_endpoint};
use super::socket::{self, Interest, Received, Socket, socket_methods};
use super::unix_path::{self, BoundPath};
use super::{Addr, Endpoint, Family, Host, Transport, UnixKind, drops, raw};
use crate::error::{Error, ErrorKind};

/// A datagram socket, `SOCK_DGRAM`: UDP or Unix, or for a client ICMP echo; or `SOCK_RDM`, where
/// the kernel supports it. Dropping it is close(2), and removes the file of a Unix socket that
/// [`bind`](Self::bind) made.
///
/// # Examples
/// ```
/// use millpond::net::{Datagram, Endpoint};
///
/// let server = Datagram::bind(&"udp://127.0.0.1:0".parse::<Endpoint>()?)?;
/// let client = Datagram::connect(&server.endpoint_text().parse()?, None)?;
/// client.send(b"Hello")?;
/// let mut buf = [0; 4];
/// let (received, from) = server.recv_from(&mut buf)?;
/// assert!(received.is_truncated());
/// assert_eq!((received.len, received.full), (4, 5));
/// server.send_to(&buf, &from)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Datagram {
    socket: Socket,
    /// The scheme of its endpoint, if it is not a Unix socket.
    scheme: &'static str,
    is_inherited: bool,
    /// Removes the file when it is dropped.
    _file: Option<BoundPath>,
}

impl Datagram {
    /// Opens a socket and binds it: socket(2), bind(2). `[::]` accepts IPv4 as well, unless the
    /// endpoint is `udp6:`. A stale file of a Unix socket, which no open socket belongs to, is
    /// replaced.
    ///
    /// # Errors
    /// As [`Listener::bind`](super::Listener::bind).
    pub fn bind(endpoint: &Endpoint) -> Result<Self, Error> {
        let (kind, family) = kind(endpoint)?;
        try_each(endpoint, "bind", |addr, _| Self::bind_addr(addr, kind, family, endpoint.scheme()))
            .map_err(|error| explain_rdm(endpoint, error))
    }

    /// As [`bind`](Self::bind), and for a host name at every address of it that this machine has;
    /// see [`Listener::bind_all`](super::Listener::bind_all).
    ///
    /// # Errors
    /// As [`Listener::bind_all`](super::Listener::bind_all).
    pub fn bind_all(endpoint: &Endpoint) -> Result<Vec<Self>, Error> {
        let (kind, family) = kind(endpoint)?;
        let bind = |addr: &Addr| Self::bind_addr(addr, kind, family, endpoint.scheme());
        bind_each(endpoint, bind, |socket| socket.local_addr().ok())
            .map_err(|error| explain_rdm(endpoint, error))
    }

    fn bind_addr(
        addr: &Addr,
        kind: SocketType,
        family: Family,
        scheme: &'static str,
    ) -> Result<Self, AttemptError> {
        let fd = socket::open(addr.family(), kind, None)?;
        if addr.as_socket().is_some_and(|ip| ip.is_ipv6()) {
            sockopt::set_ipv6_v6only(&fd, family == Family::V6)?;
        }
        let file = unix_path::bind(&fd, addr)?;
        drops::open();
        Ok(Self { socket: Socket::new(fd), scheme, is_inherited: false, _file: file })
    }

    /// Opens a socket that exchanges datagrams with one address only: socket(2), bind(2) to `from`,
    /// connect(2). A Unix socket gets an abstract name, so that the peer can send a response.
    /// Nothing is sent: an unreachable peer shows at a later call, as `ConnectionRefused`.
    ///
    /// An `icmp:` endpoint opens the ICMP datagram socket (icmp(7)), which sends echo requests and
    /// receives their replies, without `CAP_NET_RAW` if `net.ipv4.ping_group_range` includes the
    /// user's group. The kernel sets the id of the requests.
    ///
    /// # Errors
    /// As [`Stream::connect`](super::Stream::connect).
    pub fn connect(endpoint: &Endpoint, from: Option<&Addr>) -> Result<Self, Error> {
        let is_icmp = matches!(endpoint, Endpoint::Icmp { .. });
        let kind = if is_icmp { SocketType::DGRAM } else { kind(endpoint)?.0 };
        try_each(endpoint, "connect to", |addr, _| -> Result<Self, AttemptError> {
            let fd = socket::open(addr.family(), kind, is_icmp.then(|| raw::icmp(addr.family())))?;
            let file = match from {
                Some(from) => unix_path::bind(&fd, from)?,
                None if addr.family() == AddressFamily::UNIX => {
                    unix_path::bind(&fd, &Addr::Unnamed)?
                }
                None => None,
            };
            net::connect(&fd, &addr.to_any()?)?;
            let socket = Socket::new(fd);
            Ok(Self { socket, scheme: endpoint.scheme(), is_inherited: false, _file: file })
        })
        .map_err(|error| explain_rdm(endpoint, error))
    }

    /// Adopts a bound datagram socket that another program passed in (sd_listen_fds(3)), and sets
    /// it non-blocking and close-on-exec: getsockopt(2), fcntl(2). The file of a Unix socket stays.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the descriptor is not a datagram socket.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let hint = "pass a bound datagram socket, as ListenDatagram= does";
        let (_, family) =
            socket::adopt(&fd, &[SocketType::DGRAM], "is not a datagram socket", hint)?;
        drops::open();
        let scheme = scheme(Transport::Udp, family);
        Ok(Self { socket: Socket::new(fd), scheme, is_inherited: true, _file: None })
    }

    /// Whether the socket was [passed in](Self::from_fd). Another program may continue to use it.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.is_inherited
    }

    /// Requests a receive buffer of `bytes`, and returns the size that the kernel granted:
    /// setsockopt(2) with `SO_RCVBUF`. The limit is `net.core.rmem_max`. Each datagram also needs
    /// about 700 bytes of the buffer for the kernel's bookkeeping (socket(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<usize> {
        sockopt::set_socket_recv_buffer_size(&self.socket.fd, bytes)?;
        // The kernel reports twice the granted size: it adds as much for bookkeeping.
        Ok(sockopt::socket_recv_buffer_size(&self.socket.fd)? / 2)
    }

    /// Receives one datagram without waiting: recvfrom(2) with `MSG_DONTWAIT` and `MSG_TRUNC`.
    ///
    /// # Errors
    /// `WouldBlock` if no datagram has arrived; those of recvfrom(2).
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(Received, Addr)> {
        self.socket.try_recv_from(buf)
    }

    /// Sends one datagram without waiting: sendto(2) with `MSG_DONTWAIT` and `MSG_NOSIGNAL`.
    ///
    /// # Errors
    /// `WouldBlock` if the send buffer has no room now, `EMSGSIZE` if the datagram is too long;
    /// those of sendto(2).
    pub fn try_send_to(&self, datagram: &[u8], to: &Addr) -> io::Result<()> {
        self.socket.try_send_to(datagram, &to.to_any()?)
    }

    /// Receives one datagram and the address of its sender: recvfrom(2). The part that does not fit
    /// into `buf` is lost, which [`is_truncated`](Received::is_truncated) reports.
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking; `ConnectionRefused` if no socket received an
    /// earlier datagram of this connected socket; those of recvfrom(2).
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(Received, Addr)> {
        self.socket.block(Interest::Read, || self.try_recv_from(buf))
    }

    /// Receives one datagram: recv(2).
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        Ok(self.recv_from(buf)?.0)
    }

    /// Sends one datagram to an address: sendto(2).
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking; `EMSGSIZE` if it is too long ([`UDP_MAX`]); those
    /// of sendto(2).
    pub fn send_to(&self, datagram: &[u8], to: &Addr) -> io::Result<()> {
        self.socket.block(Interest::Write, || self.try_send_to(datagram, to))
    }

    /// Sends one datagram on a connected socket: send(2).
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), and `ConnectionRefused` if no socket received an earlier
    /// datagram.
    pub fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.block(Interest::Write, || self.socket.try_send(datagram)).map(drop)
    }

    /// The number of datagrams that the kernel dropped since the socket was opened, because its
    /// receive buffer was full: the last column of /proc/net/udp and /proc/net/udp6. The first
    /// socket opens both files, so that a process can still read them after it has given up its
    /// access to /proc (Landlock).
    ///
    /// # Errors
    /// `Unsupported` if the socket is not UDP; those of reading the files.
    pub fn kernel_drops(&self) -> io::Result<u64> {
        drops::of(rustix::fs::fstat(&self.socket.fd)?.st_ino)
    }

    /// The address to which the socket is connected: getpeername(2).
    ///
    /// # Errors
    /// Those of getpeername(2): `NotConnected` if it is only bound.
    pub fn peer_addr(&self) -> io::Result<Addr> {
        self.socket.peer_addr()
    }

    /// The endpoint to which the socket is bound, with the actual port: `udp://[::]:8888`.
    #[must_use]
    pub fn endpoint_text(&self) -> String {
        let scheme = self.scheme;
        match self.local_addr() {
            Ok(Addr::Ip(ip)) if scheme == "icmp" => format!("{scheme}:{}", Host::from(ip)),
            Ok(Addr::Ip(ip)) => format!("{scheme}://{ip}"),
            Ok(unix) => unix.to_string().replacen("unix:", "unixgram:", 1),
            Err(_) => format!("{scheme}:"),
        }
    }
}

socket_methods!(Datagram);

/// The maximum length of a UDP datagram over IPv4 in bytes: 65,535 less the headers of IP and UDP.
/// Over IPv6 it is 20 more (RFC 768, RFC 8200 §3).
pub const UDP_MAX: usize = 65_507;

fn kind(endpoint: &Endpoint) -> Result<(SocketType, Family), Error> {
    match endpoint {
        Endpoint::Inet { transport: Transport::Udp, family, .. } => {
            Ok((SocketType::DGRAM, *family))
        }
        Endpoint::Inet { transport: Transport::Rdm, family, .. } => Ok((SocketType::RDM, *family)),
        Endpoint::Unix { kind: UnixKind::Datagram, .. } => Ok((SocketType::DGRAM, Family::Any)),
        _ => Err(wrong_endpoint(endpoint, "datagrams", "udp:, unixgram: or rdm:")),
    }
}

/// Adds the name of the error and a hint, if the kernel does not support `rdm:`.
fn explain_rdm(endpoint: &Endpoint, error: Error) -> Error {
    if !matches!(endpoint, Endpoint::Inet { transport: Transport::Rdm, .. }) {
        return error;
    }
    let Some(errno) = error.io().and_then(Errno::from_io_error) else { return error };
    // `Error` appends the text of the reason to the message.
    let reason = io::Error::from(errno);
    let described = super::describe(&reason);
    let name = described.split(": ").next().unwrap_or_default();
    Error::new(ErrorKind::System, format!("cannot open {endpoint}: {name}"))
        .with_source(reason)
        .with_hint("this kernel has no reliable datagrams (SOCK_RDM) for IP; use udp: or tcp:")
}

impl fmt::Display for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.endpoint_text())
    }
}
