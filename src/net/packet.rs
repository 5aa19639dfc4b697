//! [`Packet`]: a connection that keeps the boundaries of records.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{self, SocketType, sockopt};

use super::connect::connect_any;
use super::endpoint::wrong_endpoint;
use super::socket::{Interest, Received, Socket, socket_methods};
use super::{Addr, Endpoint, Stream, UnixKind};
use crate::error::Error;

/// A connected sequenced-packet socket, `SOCK_SEQPACKET` of `AF_UNIX`: each call receives exactly
/// one record, which one call of the peer sent, in order. Dropping it is close(2).
///
/// Do not send an empty record: the peer cannot tell it from the end of the connection.
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
            return Err(wrong_endpoint(endpoint, "records", "unixpacket:"));
        }
        let fd = connect_any(endpoint, SocketType::SEQPACKET, from, timeout)?;
        Ok(Self { socket: Socket::new(fd) })
    }

    /// Receives one record without waiting: recv(2) with `MSG_DONTWAIT` and `MSG_TRUNC`. A length
    /// of 0 is the end of the connection.
    ///
    /// # Errors
    /// `WouldBlock` if no record has arrived; those of recv(2).
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        self.socket.try_recv(buf)
    }

    /// Sends one record without waiting, all of it or nothing: send(2) with `MSG_DONTWAIT` and
    /// `MSG_NOSIGNAL`.
    ///
    /// # Errors
    /// `WouldBlock` if the send buffer has no room now, `EMSGSIZE` if the record is longer than the
    /// buffer; those of send(2).
    pub fn try_send(&self, record: &[u8]) -> io::Result<()> {
        self.socket.try_send(record).map(drop)
    }

    /// Receives one record: recv(2). The part that does not fit into `buf` is lost, which
    /// [`is_truncated`](Received::is_truncated) reports. A length of 0 is the end of the
    /// connection.
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking; those of recv(2).
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        self.socket.block(Interest::Read, || self.try_recv(buf))
    }

    /// Sends one record: send(2).
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking, `EMSGSIZE` if it is longer than the send buffer;
    /// those of send(2).
    pub fn send(&self, record: &[u8]) -> io::Result<()> {
        self.socket.block(Interest::Write, || self.try_send(record))
    }

    /// Shuts down the sending side: shutdown(2).
    ///
    /// # Errors
    /// Those of shutdown(2).
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(net::shutdown(&self.socket.fd, net::Shutdown::Write)?)
    }

    /// The address of the peer: getpeername(2).
    ///
    /// # Errors
    /// Those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<Addr> {
        self.socket.peer_addr()
    }
}

socket_methods!(Packet);

impl TryFrom<Stream> for Packet {
    type Error = io::Error;

    /// Converts an accepted connection of a `unixpacket:` listener. `InvalidInput` if it is a
    /// stream of bytes, of which `MSG_TRUNC` would discard a part.
    fn try_from(stream: Stream) -> io::Result<Self> {
        let timeout = stream.timeout();
        let fd = OwnedFd::from(stream);
        if sockopt::socket_type(&fd)? != SocketType::SEQPACKET {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the socket does not keep the boundaries of records",
            ));
        }
        let mut socket = Socket::new(fd);
        socket.set_timeout(timeout);
        Ok(Self { socket })
    }
}

impl From<Packet> for OwnedFd {
    fn from(packet: Packet) -> Self {
        packet.socket.fd
    }
}
