//! [`Listener`]: binds, listens and accepts, on a socket of its own or one that was passed in.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{self, SocketFlags, SocketType, sockopt};
use socket2::{SockFilter, SockRef};

use super::attempt::{AttemptError, bind_each, try_each};
use super::endpoint::{scheme, wrong_endpoint};
use super::sock_diag::{DiagFamily, DiagId};
use super::socket::{self, passed_error};
use super::unix_path::{self, BoundPath};
use super::{Addr, Endpoint, Family, Stream, Transport, UnixKind};
use crate::error::Error;

/// Drops the TCP packets that begin a handshake, and keeps all others. In a filter of a TCP socket,
/// the packet begins with its TCP header, and byte 13 has the flags (RFC 9293 §3.1).
static DROP_SYN: [SockFilter; 4] = [
    SockFilter::new((libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16, 0, 0, 13),
    SockFilter::new((libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16, 0, 1, SYN),
    SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0),
    SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, u32::MAX),
];

/// The flag that begins a handshake.
const SYN: u32 = 0x02;

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
    /// The requested and the granted backlog; `None` if the socket was passed in.
    backlog: Option<(u32, u32)>,
    /// Whether the kernel keeps connections that have sent nothing.
    defers: bool,
    /// Removes the file when it is dropped, after `fd` is closed.
    file: Option<BoundPath>,
}

impl Listener {
    /// Opens a socket, binds it and listens: socket(2), bind(2), listen(2). The addresses of a host
    /// name are tried in order until one can be bound.
    ///
    /// `[::]` accepts IPv4 as well, unless the endpoint is `tcp6:`. Sets `SO_REUSEADDR`, so that a
    /// restart need not wait for old connections, and `TCP_NODELAY` and `SO_KEEPALIVE`, which
    /// accepted sockets inherit. A stale file of a Unix socket, which no open socket belongs to, is
    /// replaced.
    ///
    /// # Errors
    /// [`ErrorKind::Bind`](crate::ErrorKind::Bind) or
    /// [`ErrorKind::Permission`](crate::ErrorKind::Permission), which names the endpoint and each
    /// address that was tried with the system's reason;
    /// [`ErrorKind::Endpoint`](crate::ErrorKind::Endpoint) if the endpoint is not `tcp:`, `unix:`
    /// or `unixpacket:`; [`ErrorKind::Lookup`](crate::ErrorKind::Lookup) if its host is unknown.
    pub fn bind(endpoint: &Endpoint, backlog: u32) -> Result<Self, Error> {
        let (kind, family) = kind(endpoint)?;
        try_each(endpoint, "bind", |addr, _| Self::bind_addr(addr, kind, family, backlog))
    }

    /// As [`bind`](Self::bind), and for a host name at every address of it that this machine has,
    /// all with the same port: `tcp://localhost:80` is `127.0.0.1` and `[::1]`.
    ///
    /// # Errors
    /// As [`bind`](Self::bind), if an address of this machine cannot be bound, or if the host has
    /// no address of this machine.
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
        let fd = socket::open(addr.family(), kind, None)?;
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
        Ok(Self { fd, kind, family, backlog: Some((backlog, granted)), defers: false, file })
    }

    /// Adopts a listening socket that another program passed in, as socket activation does
    /// (sd_listen_fds(3)), and sets it non-blocking and close-on-exec. The file of a Unix socket
    /// stays, and so do the connections in its backlog: the next program accepts them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the descriptor is not a listening socket.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let hint = "pass a socket that is bound and listens, as a systemd.socket unit does";
        let accepted = [SocketType::STREAM, SocketType::SEQPACKET];
        let (kind, family) =
            socket::adopt(&fd, &accepted, "is a socket without connections", hint)?;
        if !sockopt::socket_acceptconn(&fd).unwrap_or(false) {
            return Err(passed_error("is a socket that does not listen", hint));
        }
        // A Unix socket has none of these options.
        let _ = sockopt::set_tcp_nodelay(&fd, true);
        let _ = keep_alive(&fd);
        Ok(Self { fd, kind, family, backlog: None, defers: false, file: None })
    }

    /// The requested backlog and the granted one, which the kernel limits to `net.core.somaxconn`
    /// without an error. `None` if the socket was passed in.
    #[must_use]
    pub fn backlog(&self) -> Option<(u32, u32)> {
        self.backlog
    }

    /// Changes the limit on connections that the kernel queues until they are accepted: listen(2)
    /// again. Connections that are already in the queue stay there.
    pub(crate) fn set_backlog(&self, backlog: u32) -> io::Result<()> {
        Ok(net::listen(&self.fd, backlog.min(i32::MAX as u32) as i32)?)
    }

    /// Accepts a connection only once its first bytes have arrived, or after `time`, in whole
    /// seconds: `TCP_DEFER_ACCEPT`, tcp(7). For protocols in which the client sends first: the
    /// acceptor wakes up, and a worker reads, only when the request has arrived.
    ///
    /// Until then the connection is one of the half-open connections. The kernel keeps as many of
    /// them as the backlog has places, and handles further ones with SYN cookies, which need no
    /// memory. Without SYN cookies this does nothing, because silent clients would block others.
    pub(crate) fn defer_accept(&mut self, time: Duration) {
        let cookies = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_syncookies");
        if cookies.is_ok_and(|setting| setting.trim() == "0") {
            return;
        }
        self.set_defer_accept(time.as_secs().clamp(1, 60) as libc::c_int);
        self.defers = matches!(self.local_addr(), Ok(Addr::Ip(_)));
    }

    /// Whether the kernel keeps connections that have sent nothing.
    pub(crate) fn defers_accept(&self) -> bool {
        self.defers
    }

    /// Ends [`defer_accept`](Self::defer_accept): a connection is accepted with its next packet.
    pub(crate) fn stop_deferring(&mut self) {
        if std::mem::take(&mut self.defers) {
            self.set_defer_accept(0);
        }
    }

    /// Sets `TCP_DEFER_ACCEPT`. Fails for a Unix socket, which has no such option.
    fn set_defer_accept(&self, seconds: libc::c_int) {
        let size = size_of_val(&seconds) as libc::socklen_t;
        #[expect(unsafe_code, reason = "rustix and nix lack this option")]
        // SAFETY: the descriptor is open; the value points to an int, and `size` is its length.
        let _unsupported = unsafe {
            let value = (&raw const seconds).cast();
            let fd = self.fd.as_raw_fd();
            libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, value, size)
        };
    }

    /// Lets the kernel make no new connections, while the connections that clients have made or
    /// begun to make can still be accepted. For TCP, a filter (`SO_ATTACH_FILTER`, socket(7)) drops
    /// the packets that begin a handshake; for a Unix socket, its file is removed. Returns whether
    /// a handshake may still be in progress, so that the caller should wait for its end.
    pub(crate) fn stop_connects(&mut self) -> bool {
        self.file = None;
        if !matches!(self.local_addr(), Ok(Addr::Ip(_))) {
            return false;
        }
        // Accepted sockets inherit the filter. They get no such packets.
        match SockRef::from(&self.fd).attach_filter(&DROP_SYN) {
            Ok(()) => true,
            Err(error) => {
                log::debug!("{self}: no filter: {error}");
                false
            }
        }
    }

    /// Whether the socket was [passed in](Self::from_fd). At the end its backlog must not be
    /// emptied, because another program may continue to accept from it.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.backlog.is_none()
    }

    /// Whether its connections keep the boundaries of records: `SOCK_SEQPACKET`.
    #[must_use]
    pub fn is_packet(&self) -> bool {
        self.kind == SocketType::SEQPACKET
    }

    /// The address to which it is bound, with the port that the kernel chose if it was 0:
    /// getsockname(2).
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<Addr> {
        Ok(net::getsockname(&self.fd)?.into())
    }

    /// By what the kernel identifies it, for [`accept_queues`](super::sock_diag::accept_queues).
    pub(crate) fn diag_id(&self) -> io::Result<DiagId> {
        let family = match self.local_addr()? {
            Addr::Ip(ip) if ip.is_ipv6() => DiagFamily::Inet6,
            Addr::Ip(_) => DiagFamily::Inet,
            _ => DiagFamily::Unix,
        };
        Ok(DiagId { family, inode: rustix::fs::fstat(&self.fd)?.st_ino as u32 })
    }

    /// The endpoint to which it is bound, with the actual port: `tcp://[::]:8888`. The start-up
    /// lines of the log show it, and a client can connect to it.
    #[must_use]
    pub fn endpoint_text(&self) -> String {
        let scheme = match self.is_packet() {
            true => "unixpacket",
            false => scheme(Transport::Tcp, self.family),
        };
        match self.local_addr() {
            Ok(Addr::Ip(ip)) => format!("{scheme}://{ip}"),
            Ok(unix) if self.is_packet() => unix.to_string().replacen("unix:", "unixpacket:", 1),
            Ok(unix) => unix.to_string(),
            Err(_) => format!("{scheme}:"),
        }
    }

    /// Accepts one connection: a single accept4(2), which is not repeated after EINTR. Returns the
    /// stream, which is non-blocking, and the address of the client. An IPv4 client has an IPv4
    /// address, even if the listener accepts both versions of IP.
    ///
    /// # Errors
    /// Those of accept(2): `WouldBlock` if the backlog is empty, `Interrupted` after EINTR.
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

/// Makes the kernel send a keep-alive probe after a minute without a packet of the peer, and reset
/// the connection after another minute without a response: tcp(7). Accepted sockets inherit it. It
/// matters for connections without timeouts, such as upgraded ones.
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
        _ => Err(wrong_endpoint(endpoint, "connections", "tcp:, unix: or unixpacket:")),
    }
}

/// The longest backlog that listen(2) grants; `None` if /proc cannot be read.
fn somaxconn() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_listener_that_stops_connects_still_accepts_those_that_were_made() {
        let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().unwrap();
        let mut listener = Listener::bind(&endpoint, 16).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let early = TcpStream::connect(addr).unwrap();
        assert!(listener.stop_connects());
        let late = TcpStream::connect_timeout(&addr, Duration::from_millis(100)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let (accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer.as_socket(), early.local_addr().ok());
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(listener);
        accepted.send_all(b"x").unwrap();
        assert_eq!(io::Read::read(&mut &early, &mut [0; 2]).unwrap(), 1);
    }
}
