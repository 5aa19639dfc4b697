//! [`Listener`]: bind, listen, accept; or a listening socket that was passed in.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use super::endpoint::unfit;
use super::{Addr, Endpoint, Family, Stream, Transport, UnixKind};
use crate::error::{Error, ErrorKind};
use crate::net::attempt::{AttemptError, bind_each, try_each};
use crate::net::unix_path::{self, BoundPath};

/// A bound and listening socket, non-blocking: TCP, Unix stream or Unix sequenced-packet.
///
/// Dropping it closes the socket and removes the file of a Unix socket, unless it was
/// [passed in](Self::from_fd).
///
/// # Examples
/// ```
/// use millpond::net::{Endpoint, Listener};
///
/// let listener = Listener::bind(&"tcp://127.0.0.1:0".parse::<Endpoint>()?, 16)?;
/// assert_ne!(listener.local_addr()?.as_socket().unwrap().port(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    kind: SocketType,
    family: Family,
    /// Asked for and granted; `None` if it was passed in.
    backlog: Option<(u32, u32)>,
    /// Removes the file when it is dropped, which is after `fd` is closed.
    _file: Option<BoundPath>,
}

impl Listener {
    /// Makes a socket, binds and listens: socket(2), bind(2), listen(2). If the endpoint is a host
    /// name, its addresses are tried in order and the first that works is taken.
    ///
    /// `[::]` takes IPv4 as well, unless the endpoint is `tcp6:`. `SO_REUSEADDR` is set, so that a
    /// restart need not wait for old connections; `TCP_NODELAY` and `SO_KEEPALIVE` too, which the
    /// accepted sockets inherit. A Unix socket's file that no socket is behind any more is
    /// replaced.
    ///
    /// # Errors
    /// [`ErrorKind::Bind`] or [`ErrorKind::Permission`], naming the endpoint, each address tried
    /// and the system's reason; [`ErrorKind::Endpoint`] if it is no endpoint of connections, or its
    /// host is unknown.
    pub fn bind(endpoint: &Endpoint, backlog: u32) -> Result<Self, Error> {
        let (kind, family) = kind(endpoint)?;
        try_each(endpoint, "bind", |addr, _| Self::bind_addr(addr, kind, family, backlog))
    }

    /// As [`bind`](Self::bind), and for a host name at every address of it that this machine has,
    /// all with the same port: `tcp://localhost:80` is `127.0.0.1` and `[::1]`.
    ///
    /// # Errors
    /// As [`bind`](Self::bind), if an address is this machine's and cannot be bound, or if none is.
    pub fn bind_all(endpoint: &Endpoint, backlog: u32) -> Result<Vec<Self>, Error> {
        let (kind, family) = kind(endpoint)?;
        let bind = |addr: &Addr| Self::bind_addr(addr, kind, family, backlog);
        bind_each(endpoint, bind, |listener| listener.local_addr().ok())
    }

    fn bind_addr(
        addr: &Addr,
        kind: SocketType,
        family: Family,
        backlog: u32,
    ) -> Result<Self, AttemptError> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = net::socket_with(addr.family(), kind, flags, None)?;
        if let Addr::Ip(ip) = addr {
            sockopt::set_socket_reuseaddr(&fd, true)?;
            sockopt::set_tcp_nodelay(&fd, true)?;
            keep_alive(&fd)?;
            if ip.is_ipv6() {
                sockopt::set_ipv6_v6only(&fd, family == Family::V6)?;
            }
        }
        let file = unix_path::bind(&fd, addr)?;
        net::listen(&fd, backlog.min(i32::MAX as u32) as i32)?;
        let granted = backlog.min(somaxconn().unwrap_or(u32::MAX));
        Ok(Self { fd, kind, family, backlog: Some((backlog, granted)), _file: file })
    }

    /// Takes over a listening socket that was passed in, as socket activation does
    /// (sd_listen_fds(3)), and sets it non-blocking and close-on-exec. Its file, if it has one, is
    /// the other program's and stays; so does its backlog, which the next program will accept.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is no listening socket, with the type that it is.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let wrong = |what: &str| {
            Error::new(ErrorKind::Config, format!("the passed descriptor is {what}"))
                .with_hint("pass a socket that is bound and listens, as a systemd.socket unit does")
        };
        let kind = sockopt::socket_type(&fd)
            .map_err(|errno| wrong("no socket").with_source(errno.into()))?;
        if kind != SocketType::STREAM && kind != SocketType::SEQPACKET {
            return Err(wrong("a socket without connections"));
        }
        if !sockopt::socket_acceptconn(&fd).unwrap_or(false) {
            return Err(wrong("a socket that does not listen"));
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
        // They fail on Unix sockets, which have no such options.
        let _ = sockopt::set_tcp_nodelay(&fd, true);
        let _ = keep_alive(&fd);
        Ok(Self { fd, kind, family, backlog: None, _file: None })
    }

    /// The backlog that was asked for and the one that the kernel granted, which it clips to
    /// `net.core.somaxconn` without a word. `None` if the socket was passed in.
    #[must_use]
    pub fn backlog(&self) -> Option<(u32, u32)> {
        self.backlog
    }

    /// Bounds how many connections the kernel holds from now on before they are accepted: listen(2)
    /// again. What it holds already stays.
    pub(crate) fn set_backlog(&self, backlog: u32) -> io::Result<()> {
        Ok(net::listen(&self.fd, backlog.min(i32::MAX as u32) as i32)?)
    }

    /// Accepts connections only once their first bytes are there, or after `time`, rounded up to
    /// whole seconds: `TCP_DEFER_ACCEPT`, tcp(7). For protocols in which the client speaks first.
    /// The acceptor is not woken for a request that is yet to come, and no worker reads in vain.
    ///
    /// A client that says nothing waits among the half-open connections, of which the kernel holds
    /// as many as the backlog; past that it goes on without memory for them, by SYN cookies. Where
    /// these are off, nothing is deferred: silent clients would shut the others out.
    pub(crate) fn defer_accept(&self, time: Duration) {
        let cookies = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_syncookies");
        if cookies.is_ok_and(|setting| setting.trim() == "0") {
            return;
        }
        let seconds = time.as_secs().clamp(1, 60) as libc::c_int;
        let size = size_of_val(&seconds) as libc::socklen_t;
        #[expect(unsafe_code, reason = "neither rustix nor nix has this option")]
        // SAFETY: the descriptor is open, and the option's value is an int of the length given.
        let _unsupported = unsafe {
            let value = (&raw const seconds).cast();
            let fd = self.fd.as_raw_fd();
            libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, value, size)
        };
    }

    /// Whether it was [passed in](Self::from_fd): then its backlog is not to be emptied at the end,
    /// since another program goes on with it.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.backlog.is_none()
    }

    /// Whether its connections keep the boundaries of records: `SOCK_SEQPACKET`.
    #[must_use]
    pub fn is_packet(&self) -> bool {
        self.kind == SocketType::SEQPACKET
    }

    /// The address it is bound to, with the real port: getsockname(2).
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<Addr> {
        Ok(net::getsockname(&self.fd)?.into())
    }

    /// The endpoint it is bound to, with the real port: `tcp://[::]:8888`. This is what a start-up
    /// line shows and a client connects to.
    #[must_use]
    pub fn endpoint_text(&self) -> String {
        let scheme = match (self.is_packet(), self.family) {
            (true, _) => "unixpacket",
            (false, Family::Any) => "tcp",
            (false, Family::V4) => "tcp4",
            (false, Family::V6) => "tcp6",
        };
        match self.local_addr() {
            Ok(Addr::Ip(ip)) => format!("{scheme}://{ip}"),
            Ok(unix) if self.is_packet() => unix.to_string().replacen("unix:", "unixpacket:", 1),
            Ok(unix) => unix.to_string(),
            Err(_) => format!("{scheme}:"),
        }
    }

    /// One raw accept4(2): not retried, so that the caller sees `EINTR` (`Interrupted`), and
    /// `WouldBlock` when nobody waits. The stream is non-blocking, the address is accept4's; that
    /// of an IPv4 client is IPv4, also where the listener takes both versions of IP.
    ///
    /// # Errors
    /// Those of accept(2).
    pub fn accept(&self) -> io::Result<(Stream, Addr)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (fd, addr) = net::acceptfrom_with(&self.fd, flags)?;
        Ok((Stream::from(fd), addr.map_or(Addr::Unnamed, Addr::from).canonical()))
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.endpoint_text())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Has the kernel ask a peer that has been silent for a minute whether it is still there, and reset
/// the connection of one that says nothing for another minute: tcp(7). Accepted sockets inherit it.
/// Only connections without a timeout of their own, such as upgraded ones, live that long.
fn keep_alive(fd: &OwnedFd) -> rustix::io::Result<()> {
    sockopt::set_tcp_keepidle(fd, Duration::from_secs(60))?;
    sockopt::set_tcp_keepintvl(fd, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(fd, 6)?;
    sockopt::set_socket_keepalive(fd, true)
}

fn kind(endpoint: &Endpoint) -> Result<(SocketType, Family), Error> {
    match endpoint {
        Endpoint::Inet { transport: Transport::Tcp, family, .. } => {
            Ok((SocketType::STREAM, *family))
        }
        Endpoint::Unix { kind: UnixKind::Stream, .. } => Ok((SocketType::STREAM, Family::Any)),
        Endpoint::Unix { kind: UnixKind::Packet, .. } => Ok((SocketType::SEQPACKET, Family::Any)),
        _ => Err(unfit(
            endpoint,
            "no endpoint of connections",
            "connections come in over tcp:, unix: and unixpacket:",
        )),
    }
}

/// The most that listen(2) grants, `None` if it cannot be known.
fn somaxconn() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}
