//! [`Stream`]: a connected stream socket, TCP or Unix. Its `try_` methods never wait; the blocking
//! ones wait until its timeout.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, SocketType};

use super::connect::{connect, connect_any};
use super::endpoint::wrong_endpoint;
use super::socket::{Interest, Received, Socket, pending_events, remaining, socket_methods};
use super::{Addr, Endpoint, Transport, UnixKind};
use crate::error::Error;

/// A connected stream socket. Dropping it is close(2).
///
/// # Examples
/// ```
/// use std::io::Read;
/// use std::time::Duration;
/// use millpond::net::{Endpoint, Listener, Stream};
///
/// let listener = Listener::bind(&"tcp://127.0.0.1:0".parse::<Endpoint>()?, 16)?;
/// let endpoint: Endpoint = listener.endpoint_text().parse()?;
/// let mut client = Stream::connect(&endpoint, Some(Duration::from_secs(5)))?;
/// let (server, _peer) = listener.accept()?;
/// server.send_all(b"Hello")?;
/// drop(server);
/// client.set_timeout(Some(Duration::from_secs(5)));
/// let mut text = String::new();
/// client.read_to_string(&mut text)?;
/// assert_eq!(text, "Hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
}

impl Stream {
    /// Connects: socket(2), connect(2). The addresses of a host name are tried in order, each for
    /// an equal share of the remaining time; the look-up of the name is not limited by `timeout`.
    /// Sets `TCP_NODELAY`.
    ///
    /// # Errors
    /// [`ErrorKind::Connect`](crate::ErrorKind::Connect) or
    /// [`ErrorKind::Permission`](crate::ErrorKind::Permission), which names each address that was
    /// tried with the system's reason, and whose source is the last reason;
    /// [`ErrorKind::Endpoint`](crate::ErrorKind::Endpoint) if the endpoint is not `tcp:` or
    /// `unix:`; [`ErrorKind::Lookup`](crate::ErrorKind::Lookup) if its host is unknown.
    pub fn connect(endpoint: &Endpoint, timeout: Option<Duration>) -> Result<Self, Error> {
        Self::connect_from(endpoint, None, timeout)
    }

    /// As [`connect`](Self::connect), after bind(2) to a source address.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and those of bind(2).
    pub fn connect_from(
        endpoint: &Endpoint,
        from: Option<&Addr>,
        timeout: Option<Duration>,
    ) -> Result<Self, Error> {
        match endpoint {
            Endpoint::Inet { transport: Transport::Tcp, .. }
            | Endpoint::Unix { kind: UnixKind::Stream, .. } => {}
            _ => return Err(wrong_endpoint(endpoint, "a stream", "tcp: or unix:")),
        }
        connect_any(endpoint, SocketType::STREAM, from, timeout).map(Self::from)
    }

    /// Connects to one address: connect(2). The `raw_os_error` of the error is the number that
    /// Python's `connect_ex` returns, and [`describe`](super::describe) names it. A timeout is
    /// `ETIMEDOUT`.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect_ex(addr: &Addr, timeout: Option<Duration>) -> io::Result<Self> {
        connect(addr, SocketType::STREAM, None, timeout).map(Self::from)
    }

    /// Reads the bytes that have arrived, and waits for the first: recv(2). 0 is the end of the
    /// stream.
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking; those of recv(2).
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.block(Interest::Read, || self.try_read(buf))
    }

    /// Writes as many bytes as the send buffer has room for, and waits for room for the first:
    /// send(2). Fewer than `buf.len()` may be written.
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking; those of send(2).
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.block(Interest::Write, || self.try_write(buf))
    }

    /// Writes all bytes: send(2), repeated. The timeout limits the whole call. After an error it is
    /// unknown how many bytes were sent.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_all(&self, mut buf: &[u8]) -> io::Result<()> {
        let deadline = self.socket.deadline();
        while !buf.is_empty() {
            let sent =
                self.socket.block_until(deadline, Interest::Write, || self.try_write(buf))?;
            buf = &buf[sent..];
        }
        Ok(())
    }

    /// Reads the bytes that have arrived, without waiting: recv(2) with `MSG_DONTWAIT`. 0 is the
    /// end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` if no bytes have arrived; those of recv(2).
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let (n, _) = retry_on_intr(|| net::recv(&self.socket.fd, &mut *buf, RecvFlags::DONTWAIT))?;
        Ok(n)
    }

    /// As [`try_read`](Self::try_read), and leaves the bytes to be read again: recv(2) with
    /// `MSG_PEEK`.
    pub(crate) fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        Ok(retry_on_intr(|| net::recv(&self.socket.fd, &mut *buf, flags))?.0)
    }

    /// As [`try_read`](Self::try_read), into the spare capacity of a vector, which need not be
    /// zeroed first.
    pub(crate) fn try_read_behind(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let recv = || {
            let room = rustix::buffer::spare_capacity(buf);
            net::recv(&self.socket.fd, room, RecvFlags::DONTWAIT)
        };
        Ok(retry_on_intr(recv)?.0)
    }

    /// Writes as many bytes as the send buffer has room for, without waiting: send(2) with
    /// `MSG_DONTWAIT` and `MSG_NOSIGNAL`.
    ///
    /// # Errors
    /// `WouldBlock` if the buffer has no room; those of send(2).
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.try_send(buf)
    }

    /// As [`try_write`](Self::try_write), for the last bytes of a connection whose sending side is
    /// shut down immediately afterwards. `MSG_MORE` makes the kernel keep the bytes until then, and
    /// send them in one packet with the end of the stream.
    pub(crate) fn try_write_last(&self, buf: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::MORE;
        Ok(retry_on_intr(|| net::send(&self.socket.fd, buf, flags))?)
    }

    /// As [`try_write`](Self::try_write), from several buffers: sendmsg(2).
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let mut none = SendAncillaryBuffer::default();
        Ok(retry_on_intr(|| net::sendmsg(&self.socket.fd, bufs, &mut none, flags))?)
    }

    /// Sends up to `length` bytes of `file`, starting at `*offset`, without waiting for the peer,
    /// and advances `*offset`: sendfile(2). 0 is the end of the file.
    ///
    /// # Errors
    /// `WouldBlock` if the send buffer has no room; those of sendfile(2).
    pub fn try_send_file(
        &self,
        file: impl AsFd,
        offset: &mut u64,
        length: usize,
    ) -> io::Result<usize> {
        let fd = &self.socket.fd;
        Ok(retry_on_intr(|| rustix::fs::sendfile(fd, &file, Some(&mut *offset), length))?)
    }

    /// Reads one record of a sequenced-packet connection, without waiting: recv(2) with
    /// `MSG_DONTWAIT` and `MSG_TRUNC`.
    pub(crate) fn try_recv_record(&self, buf: &mut [u8]) -> io::Result<Received> {
        self.socket.try_recv(buf)
    }

    /// Whether the connection is reset, or closed in both directions, as far as the kernel knows:
    /// poll(2) without waiting. A peer that has only shut down its sending side is not gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let events = pending_events(self, PollFlags::empty());
        events.intersects(PollFlags::HUP | PollFlags::ERR)
    }

    /// Whether a read would not wait: poll(2) without waiting. True at the end of the stream, too.
    #[must_use]
    pub fn has_input(&self) -> bool {
        pending_events(self, PollFlags::IN).contains(PollFlags::IN)
    }

    /// Whether bytes have arrived that were not read: `FIONREAD`. The end of the stream is none.
    pub(crate) fn has_unread(&self) -> bool {
        rustix::io::ioctl_fionread(self).is_ok_and(|count| count > 0)
    }

    /// The user id of the peer of a Unix socket: `SO_PEERCRED`, unix(7).
    #[must_use]
    pub fn peer_uid(&self) -> Option<u32> {
        rustix::net::sockopt::socket_peercred(self).ok().map(|peer| peer.uid.as_raw())
    }

    /// As [`wait`](Self::wait), and also returns `true` once `other` is readable or a signal
    /// interrupts the call.
    pub(crate) fn wait_or(
        &self,
        interest: Interest,
        deadline: Option<Instant>,
        other: &impl AsFd,
    ) -> io::Result<bool> {
        let mut fds = [PollFd::new(self, interest.events()), PollFd::new(other, PollFlags::IN)];
        match poll(&mut fds, remaining(deadline).as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Shuts down the sending side: shutdown(2). The peer reads the end of the stream.
    ///
    /// # Errors
    /// Those of shutdown(2).
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(net::shutdown(&self.socket.fd, net::Shutdown::Write)?)
    }

    /// Makes close(2) reset the connection (RST), so that the peer is notified at once and the
    /// kernel keeps no state of the connection: `SO_LINGER` with a time of zero, socket(7).
    pub(crate) fn reset_on_close(&self) {
        // A socket without that option is closed as usual.
        let _ = net::sockopt::set_socket_linger(&self.socket.fd, Some(Duration::ZERO));
    }

    /// Shuts down both directions: shutdown(2). Every thread that waits for the stream wakes up.
    ///
    /// # Errors
    /// Those of shutdown(2).
    pub fn shutdown_both(&self) -> io::Result<()> {
        Ok(net::shutdown(&self.socket.fd, net::Shutdown::Both)?)
    }

    /// The address of the peer: getpeername(2). [`accept`](super::Listener::accept) returns it,
    /// too, even if the peer has closed the connection since.
    ///
    /// # Errors
    /// Those of getpeername(2): `NotConnected` once the peer has closed the connection.
    pub fn peer_addr(&self) -> io::Result<Addr> {
        self.socket.peer_addr()
    }
}

socket_methods!(Stream);

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv(buf)
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv(buf)
    }
}

impl Write for &Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<OwnedFd> for Stream {
    fn from(fd: OwnedFd) -> Self {
        Self { socket: Socket::new(fd) }
    }
}

impl From<Stream> for OwnedFd {
    fn from(stream: Stream) -> Self {
        stream.socket.fd
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    /// After shutdown(2) as well as after close(2).
    #[test]
    fn the_last_bytes_arrive_before_the_end() {
        for shuts_down in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let server = Stream::from(std::os::fd::OwnedFd::from(listener.accept().unwrap().0));
            assert_eq!(server.try_write_last(b"bye").unwrap(), 3);
            let server = match shuts_down {
                true => server.shutdown_write().map(|()| Some(server)).unwrap(),
                false => {
                    drop(server);
                    None
                }
            };
            let mut received = Vec::new();
            client.read_to_end(&mut received).unwrap();
            assert_eq!(received, b"bye");
            drop(server);
        }
    }
}
