//! [`Packet`]: a connection that keeps the boundaries of records.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::net::{self, RecvFlags, SendFlags, SocketType, sockopt};

use super::endpoint::unfit;
use super::socket::{Interest, Received, Socket};
use super::{Addr, Endpoint, Stream, UnixKind};
use crate::error::Error;

/// A connected sequenced-packet socket, `SOCK_SEQPACKET` of `AF_UNIX`: what one call sends, one
/// call receives, in order. Dropping it is close(2).
///
/// An empty record looks like the peer's end, so it is not to be sent.
///
/// # Examples
/// ```
/// use millpond::net::{Endpoint, Listener, Packet};
///
/// let listener = Listener::bind(&"unixpacket:@millpond-doc".parse::<Endpoint>()?, 16)?;
/// let client = Packet::connect(&listener.endpoint_text().parse()?, None, None)?;
/// client.send(b"one")?;
/// client.send(b"two")?;
/// let server = Packet::try_from(listener.accept()?.0)?;
/// let mut buf = [0; 16];
/// assert_eq!(server.recv(&mut buf)?.len, 3);
/// assert_eq!(&buf[..3], b"one");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Packet {
    socket: Socket,
}

impl Packet {
    /// Connects to a `unixpacket:` endpoint, after bind(2) to `from` if it is given: socket(2),
    /// connect(2).
    ///
    /// # Errors
    /// As [`Stream::connect`].
    pub fn connect(
        endpoint: &Endpoint,
        from: Option<&Addr>,
        timeout: Option<Duration>,
    ) -> Result<Self, Error> {
        if !matches!(endpoint, Endpoint::Unix { kind: UnixKind::Packet, .. }) {
            return Err(unfit(
                endpoint,
                "no endpoint of sequenced packets",
                "they go to unixpacket:",
            ));
        }
        let fd = super::stream::connect(endpoint, SocketType::SEQPACKET, from, timeout)?;
        Ok(Self { socket: Socket::new(fd) })
    }

    /// Receives one record without waiting: recv(2) with `MSG_DONTWAIT` and `MSG_TRUNC`. No bytes
    /// are the peer's end.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; those of recv(2).
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        let (_, full) = retry_on_intr(|| net::recv(&self.socket.fd, &mut *buf, flags))?;
        Ok(Received::new(buf.len(), full))
    }

    /// Sends one record without waiting: send(2) with `MSG_DONTWAIT` and `MSG_NOSIGNAL`. It goes
    /// whole or not at all.
    ///
    /// # Errors
    /// `WouldBlock` when it does not fit now, `EMSGSIZE` when it never will; those of send(2).
    pub fn try_send(&self, record: &[u8]) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        retry_on_intr(|| net::send(&self.socket.fd, record, flags))?;
        Ok(())
    }

    /// Receives one record: recv(2). What does not fit into `buf` is lost, and
    /// [`is_truncated`](Received::is_truncated) says so. No bytes are the peer's end.
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking; those of recv(2).
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        self.socket.patiently(Interest::Read, || self.try_recv(buf))
    }

    /// Sends one record: send(2).
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking, `EMSGSIZE` if it is longer than the send buffer;
    /// those of send(2).
    pub fn send(&self, record: &[u8]) -> io::Result<()> {
        self.socket.patiently(Interest::Write, || self.try_send(record))
    }

    /// How long each blocking call waits in poll(2); see [`Stream::set_timeout`].
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.socket.timeout = timeout;
    }

    /// Whether calls that would block fail instead; see [`Stream::set_nonblocking`].
    pub fn set_nonblocking(&mut self, nonblocking: bool) {
        self.socket.timeout = nonblocking.then_some(Duration::ZERO);
    }

    /// Waits until it is ready, poll(2). `false`: the deadline passed.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<bool> {
        super::socket::wait(&self.socket.fd, interest, deadline)
    }

    /// Shuts down the sending side: shutdown(2).
    ///
    /// # Errors
    /// Those of shutdown(2).
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(net::shutdown(&self.socket.fd, net::Shutdown::Write)?)
    }

    /// The address at this end: getsockname(2).
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<Addr> {
        self.socket.local_addr()
    }

    /// The address at the other end: getpeername(2).
    ///
    /// # Errors
    /// Those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<Addr> {
        self.socket.peer_addr()
    }
}

impl TryFrom<Stream> for Packet {
    type Error = io::Error;

    /// Takes an accepted connection as what it is. It fails with `InvalidInput` if that is a stream
    /// of bytes, where `MSG_TRUNC` would throw bytes away.
    fn try_from(stream: Stream) -> io::Result<Self> {
        let timeout = stream.timeout();
        let fd = OwnedFd::from(stream);
        if sockopt::socket_type(&fd)? != SocketType::SEQPACKET {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the socket keeps no boundaries of records",
            ));
        }
        Ok(Self { socket: Socket { fd, timeout } })
    }
}

impl From<Packet> for OwnedFd {
    fn from(packet: Packet) -> Self {
        packet.socket.fd
    }
}

impl AsFd for Packet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.fd.as_fd()
    }
}
