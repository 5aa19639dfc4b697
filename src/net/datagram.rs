//! [`Datagram`]: sockets without connections, UDP and Unix.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::drops;
use super::endpoint::unfit;
use super::socket::{self, Interest, Received, Socket};
use super::{Addr, Endpoint, Family, Transport, UnixKind};
use crate::error::{Error, ErrorKind};
use crate::net::attempt::{AttemptError, bind_each, try_each};
use crate::net::unix_path::{self, BoundPath};

/// A datagram socket, `SOCK_DGRAM`: UDP or Unix; or `SOCK_RDM`, where the kernel has it. Dropping
/// it is close(2), and removes the file that it made.
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
    family: Family,
    /// Whether it was passed in.
    inherited: bool,
    /// Removes the file when it is dropped.
    _file: Option<BoundPath>,
}

impl Datagram {
    /// Makes a socket and binds it: socket(2), bind(2). `[::]` takes IPv4 as well, unless the
    /// endpoint is `udp6:`. A Unix socket's file that no socket is behind any more is replaced.
    ///
    /// # Errors
    /// As [`Listener::bind`](super::Listener::bind).
    pub fn bind(endpoint: &Endpoint) -> Result<Self, Error> {
        let (kind, family) = kind(endpoint)?;
        try_each(endpoint, "bind", |addr, _| Self::bind_addr(addr, kind, family))
            .map_err(|error| without_rdm(endpoint, error))
    }

    /// As [`bind`](Self::bind), and for a host name at every address of it that this machine has;
    /// see [`Listener::bind_all`](super::Listener::bind_all).
    ///
    /// # Errors
    /// As [`Listener::bind_all`](super::Listener::bind_all).
    pub fn bind_all(endpoint: &Endpoint) -> Result<Vec<Self>, Error> {
        let (kind, family) = kind(endpoint)?;
        let bind = |addr: &Addr| Self::bind_addr(addr, kind, family);
        bind_each(endpoint, bind, |socket| socket.local_addr().ok())
            .map_err(|error| without_rdm(endpoint, error))
    }

    fn bind_addr(addr: &Addr, kind: SocketType, family: Family) -> Result<Self, AttemptError> {
        let fd = open(addr, kind)?;
        if addr.as_socket().is_some_and(|ip| ip.is_ipv6()) {
            sockopt::set_ipv6_v6only(&fd, family == Family::V6)?;
        }
        let file = unix_path::bind(&fd, addr)?;
        drops::open();
        Ok(Self { socket: Socket::new(fd), family, inherited: false, _file: file })
    }

    /// Makes a socket that sends to one address and receives only from there: socket(2), bind(2) to
    /// `from`, connect(2). A Unix socket is given an abstract name, so that it can be answered.
    /// Nothing is sent, so that a peer which is not there shows only at a later call, as
    /// `ConnectionRefused`.
    ///
    /// # Errors
    /// As [`Stream::connect`](super::Stream::connect).
    pub fn connect(endpoint: &Endpoint, from: Option<&Addr>) -> Result<Self, Error> {
        let (kind, family) = kind(endpoint)?;
        try_each(endpoint, "connect to", |addr, _| -> Result<Self, AttemptError> {
            let fd = open(addr, kind)?;
            let unix = addr.family() == AddressFamily::UNIX;
            let file = match from {
                Some(from) => unix_path::bind(&fd, from)?,
                None if unix => unix_path::bind(&fd, &Addr::Unnamed)?,
                None => None,
            };
            net::connect(&fd, &addr.to_any()?)?;
            Ok(Self { socket: Socket::new(fd), family, inherited: false, _file: file })
        })
        .map_err(|error| without_rdm(endpoint, error))
    }

    /// Takes over a bound datagram socket that was passed in (sd_listen_fds(3)), and sets it
    /// non-blocking and close-on-exec: getsockopt(2), fcntl(2). Its file, if it has one, stays.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is no datagram socket.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let wrong = |what: &str| {
            Error::new(ErrorKind::Config, format!("the passed descriptor is {what}"))
                .with_hint("pass a bound datagram socket, as ListenDatagram= does")
        };
        let kind = sockopt::socket_type(&fd)
            .map_err(|errno| wrong("no socket").with_source(errno.into()))?;
        if kind != SocketType::DGRAM {
            return Err(wrong("no datagram socket"));
        }
        let adopt = || -> rustix::io::Result<Family> {
            rustix::io::ioctl_fionbio(&fd, true)?;
            rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
            Ok(match sockopt::socket_domain(&fd)? {
                AddressFamily::INET6 if sockopt::ipv6_v6only(&fd)? => Family::V6,
                _ => Family::Any,
            })
        };
        let family = adopt().map_err(|errno| wrong("unusable").with_source(errno.into()))?;
        drops::open();
        Ok(Self { socket: Socket::new(fd), family, inherited: true, _file: None })
    }

    /// Whether it was [passed in](Self::from_fd), so that another program goes on with it.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Asks for room for `bytes` of datagrams that are not received yet, and tells how many were
    /// granted: setsockopt(2) with `SO_RCVBUF`. The kernel clips it to `net.core.rmem_max`, and
    /// counts what it needs itself for each datagram, some 700 bytes, too (socket(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<usize> {
        sockopt::set_socket_recv_buffer_size(&self.socket.fd, bytes)?;
        // It tells twice what it granted: the other half is for its own needs.
        Ok(sockopt::socket_recv_buffer_size(&self.socket.fd)? / 2)
    }

    /// Receives one datagram without waiting: recvfrom(2) with `MSG_DONTWAIT` and `MSG_TRUNC`.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; those of recvfrom(2).
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(Received, Addr)> {
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        let (_, full, from) = retry_on_intr(|| net::recvfrom(&self.socket.fd, &mut *buf, flags))?;
        Ok((Received::new(buf.len(), full), from.map_or(Addr::Unnamed, Addr::from).canonical()))
    }

    /// Sends one datagram without waiting: sendto(2) with `MSG_DONTWAIT` and `MSG_NOSIGNAL`.
    ///
    /// # Errors
    /// `WouldBlock` when it does not fit now, `EMSGSIZE` when it never will; those of sendto(2).
    pub fn try_send_to(&self, datagram: &[u8], to: &Addr) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let to = to.to_any()?;
        retry_on_intr(|| net::sendto(&self.socket.fd, datagram, flags, &to))?;
        Ok(())
    }

    /// Receives one datagram and the address that it came from: recvfrom(2). What does not fit into
    /// `buf` is lost, and [`is_truncated`](Received::is_truncated) says so.
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking; `ConnectionRefused` if an earlier datagram of a
    /// connected socket found nobody; those of recvfrom(2).
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(Received, Addr)> {
        self.socket.patiently(Interest::Read, || self.try_recv_from(buf))
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
        self.socket.patiently(Interest::Write, || self.try_send_to(datagram, to))
    }

    /// Sends one datagram on a connected socket: send(2).
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), and `ConnectionRefused` if an earlier datagram found nobody.
    pub fn send(&self, datagram: &[u8]) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        self.socket.patiently(Interest::Write, || {
            retry_on_intr(|| net::send(&self.socket.fd, datagram, flags))?;
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

    /// Datagrams that the kernel threw away since the socket was made, because its receive buffer
    /// was full: the last column of /proc/net/udp and /proc/net/udp6. These are opened with the
    /// first socket, so that a process which has since put /proc out of its reach (Landlock) can
    /// read them.
    ///
    /// # Errors
    /// `Unsupported` if the socket is not UDP; those of reading the files.
    pub fn kernel_drops(&self) -> io::Result<u64> {
        drops::of(rustix::fs::fstat(&self.socket.fd)?.st_ino)
    }

    /// The address at this end, with the real port: getsockname(2).
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<Addr> {
        self.socket.local_addr()
    }

    /// The address that it is connected to: getpeername(2).
    ///
    /// # Errors
    /// Those of getpeername(2): `NotConnected` if it is only bound.
    pub fn peer_addr(&self) -> io::Result<Addr> {
        self.socket.peer_addr()
    }

    /// The endpoint it is bound to, with the real port: `udp://[::]:8888`.
    #[must_use]
    pub fn endpoint_text(&self) -> String {
        let scheme = match self.family {
            Family::Any => "udp",
            Family::V4 => "udp4",
            Family::V6 => "udp6",
        };
        match self.local_addr() {
            Ok(Addr::Ip(ip)) => format!("{scheme}://{ip}"),
            Ok(unix) => unix.to_string().replacen("unix:", "unixgram:", 1),
            Err(_) => format!("{scheme}:"),
        }
    }
}

/// The most bytes that a UDP datagram carries over IPv4: 65,535 less the headers of IP and UDP.
/// Over IPv6 it is 20 more (RFC 768, RFC 8200 §3).
pub const UDP_MAX: usize = 65_507;

fn kind(endpoint: &Endpoint) -> Result<(SocketType, Family), Error> {
    match endpoint {
        Endpoint::Inet { transport: Transport::Udp, family, .. } => {
            Ok((SocketType::DGRAM, *family))
        }
        Endpoint::Inet { transport: Transport::Rdm, family, .. } => Ok((SocketType::RDM, *family)),
        Endpoint::Unix { kind: UnixKind::Datagram, .. } => Ok((SocketType::DGRAM, Family::Any)),
        _ => Err(unfit(
            endpoint,
            "no endpoint of datagrams",
            "datagrams go to udp:, unixgram: and rdm:",
        )),
    }
}

fn open(addr: &Addr, kind: SocketType) -> rustix::io::Result<OwnedFd> {
    net::socket_with(addr.family(), kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)
}

/// Says plainly what it means that the kernel makes no such socket.
fn without_rdm(endpoint: &Endpoint, error: Error) -> Error {
    if !matches!(endpoint, Endpoint::Inet { transport: Transport::Rdm, .. }) {
        return error;
    }
    let Some(reason) = error.io().and_then(Errno::from_io_error) else { return error };
    // The text of the reason follows the message.
    let reason = io::Error::from(reason);
    let described = super::describe(&reason);
    let name = described.split(": ").next().unwrap_or_default();
    Error::new(ErrorKind::System, format!("cannot open {endpoint}: {name}"))
        .with_source(reason)
        .with_hint(
            "this kernel has no protocol of reliable datagrams (SOCK_RDM) for IP; use udp: or tcp:",
        )
}

impl fmt::Display for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.endpoint_text())
    }
}

impl AsFd for Datagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.fd.as_fd()
    }
}
