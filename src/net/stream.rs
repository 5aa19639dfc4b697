//! [`Stream`]: a connected stream socket, TCP or Unix. Its `try_` calls never wait; the blocking
//! calls above them wait as long as its time-out.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, SocketType};

use super::endpoint::unfit;
use super::socket::{self, Interest, Received, Socket};
use super::{Addr, Endpoint, Transport, UnixKind};
use crate::error::Error;
use crate::net::attempt::try_each;
use crate::sync::timespec;

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
    /// Connects: socket(2), connect(2). The addresses of a host name are tried in order, each with
    /// its share of the time that is left; looking the name up is not within that time.
    /// `TCP_NODELAY` is set.
    ///
    /// # Errors
    /// [`ErrorKind::Connect`](crate::ErrorKind::Connect) or
    /// [`ErrorKind::Permission`](crate::ErrorKind::Permission), naming each address tried and its
    /// reason, whose source is the last reason; [`ErrorKind::Endpoint`](crate::ErrorKind::Endpoint)
    /// if it is no endpoint of streams, or its host is unknown.
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
            _ => {
                return Err(unfit(
                    endpoint,
                    "no endpoint of streams",
                    "streams go to tcp: and unix:",
                ));
            }
        }
        connect(endpoint, SocketType::STREAM, from, timeout).map(Self::from)
    }

    /// One connect(2) to one address, and what came of it: the result that Python's `connect_ex`
    /// gives as a number is the error's `raw_os_error`, and [`describe`](super::describe) names it.
    /// Time that ran out is `ETIMEDOUT`.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect_ex(addr: &Addr, timeout: Option<Duration>) -> io::Result<Self> {
        socket::connect(addr, SocketType::STREAM, None, timeout).map(Self::from)
    }

    /// How long each blocking call waits in poll(2) from now on: `None` for ever, zero not at all,
    /// which is [`set_nonblocking`](Self::set_nonblocking). New streams wait for ever.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.socket.timeout = timeout;
    }

    /// How long each blocking call waits; see [`set_timeout`](Self::set_timeout).
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.socket.timeout
    }

    /// Whether calls that would block fail with `WouldBlock` instead (Python's `setblocking`, the
    /// other way round). It is the same as a time-out of zero or none; the descriptor itself is
    /// `O_NONBLOCK` all the time.
    pub fn set_nonblocking(&mut self, nonblocking: bool) {
        self.socket.timeout = nonblocking.then_some(Duration::ZERO);
    }

    /// Reads what there is, waiting for the first byte: recv(2). 0 is the peer's end.
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking; those of recv(2).
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.patiently(Interest::Read, || self.try_read(buf))
    }

    /// Writes what fits, waiting for room for the first byte: send(2). It may be less than all.
    ///
    /// # Errors
    /// `TimedOut`, `WouldBlock` if non-blocking; those of send(2).
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.patiently(Interest::Write, || self.try_write(buf))
    }

    /// Writes everything: send(2) until it is all sent; the time-out is for all of it. After an
    /// error, how much was sent is unknown.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_all(&self, mut buf: &[u8]) -> io::Result<()> {
        let deadline = self.socket.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        while !buf.is_empty() {
            let sent = self.socket.until(deadline, Interest::Write, || self.try_write(buf))?;
            buf = &buf[sent..];
        }
        Ok(())
    }

    /// Reads what is there, without waiting: recv(2) with `MSG_DONTWAIT`. 0 is the peer's end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; those of recv(2).
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let (n, _) = retry_on_intr(|| net::recv(&self.socket.fd, &mut *buf, RecvFlags::DONTWAIT))?;
        Ok(n)
    }

    /// As [`try_read`](Self::try_read), to the end of a vector that has spare capacity, which needs
    /// no bytes to be overwritten.
    pub(crate) fn try_read_behind(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let recv = || {
            let room = rustix::buffer::spare_capacity(buf);
            net::recv(&self.socket.fd, room, RecvFlags::DONTWAIT)
        };
        Ok(retry_on_intr(recv)?.0)
    }

    /// Writes what fits, without waiting: send(2) with `MSG_DONTWAIT` and `MSG_NOSIGNAL`.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits; those of send(2).
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(retry_on_intr(|| net::send(&self.socket.fd, buf, flags))?)
    }

    /// As [`try_write`](Self::try_write), for the last bytes of a connection whose writing side is
    /// closed at once afterwards: with `MSG_MORE` the kernel keeps them until then, and sends them
    /// and the end of the stream in one packet.
    pub(crate) fn try_write_last(&self, buf: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::MORE;
        Ok(retry_on_intr(|| net::send(&self.socket.fd, buf, flags))?)
    }

    /// Writes what fits of several buffers, without waiting: sendmsg(2).
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let mut none = SendAncillaryBuffer::default();
        Ok(retry_on_intr(|| net::sendmsg(&self.socket.fd, bufs, &mut none, flags))?)
    }

    /// Sends up to `length` bytes of `file` from `*offset` on, without waiting for the peer, and
    /// moves `*offset`: sendfile(2). 0 is the end of the file.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits; those of sendfile(2).
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
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        let (_, full) = retry_on_intr(|| net::recv(&self.socket.fd, &mut *buf, flags))?;
        Ok(Received::new(buf.len(), full))
    }

    /// Waits until it is ready, poll(2). `false`: the deadline passed.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<bool> {
        socket::wait(&self.socket.fd, interest, deadline)
    }

    /// Whether the connection is reset or closed in both directions, as far as the kernel knows:
    /// poll(2) without waiting. A peer that has only shut down its sending side is still there.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket.fd, PollFlags::empty())];
        let now = timespec(Duration::ZERO);
        poll(&mut fds, Some(&now)).is_ok()
            && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }

    /// Whether there is something to read: poll(2) without waiting. The peer's end is something
    /// too.
    #[must_use]
    pub fn has_input(&self) -> bool {
        let mut fds = [PollFd::new(self, PollFlags::IN)];
        let now = timespec(Duration::ZERO);
        poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::IN)
    }

    /// The user at the other end of a Unix socket: `SO_PEERCRED`, unix(7).
    #[must_use]
    pub fn peer_uid(&self) -> Option<u32> {
        rustix::net::sockopt::socket_peercred(self).ok().map(|peer| peer.uid.as_raw())
    }

    /// As [`wait`](Self::wait), and also ends with `true` when `other` is readable.
    pub(crate) fn wait_or(
        &self,
        interest: Interest,
        deadline: Option<Instant>,
        other: &impl AsFd,
    ) -> io::Result<bool> {
        let events = match interest {
            Interest::Read => PollFlags::IN | PollFlags::RDHUP,
            Interest::Write => PollFlags::OUT,
        };
        let timeout =
            deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        let mut fds = [PollFd::new(self, events), PollFd::new(other, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Shuts down the sending side: shutdown(2). The peer reads the end.
    ///
    /// # Errors
    /// Those of shutdown(2).
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(net::shutdown(&self.socket.fd, net::Shutdown::Write)?)
    }

    /// Closing it will reset the connection (RST): the peer learns at once that it has ended, and
    /// the kernel keeps nothing of it. `SO_LINGER` with a time of zero, socket(7).
    pub(crate) fn reset_on_close(&self) {
        // A socket that has no such option is closed as usual.
        let _ = net::sockopt::set_socket_linger(&self.socket.fd, Some(Duration::ZERO));
    }

    /// Shuts down both directions, which also wakes whoever waits on it.
    ///
    /// # Errors
    /// Those of shutdown(2).
    pub fn shutdown_both(&self) -> io::Result<()> {
        Ok(net::shutdown(&self.socket.fd, net::Shutdown::Both)?)
    }

    /// The address at this end: getsockname(2).
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<Addr> {
        self.socket.local_addr()
    }

    /// The address at the other end: getpeername(2). A server has it from
    /// [`accept`](super::Listener::accept), which still knows it when the peer has gone.
    ///
    /// # Errors
    /// Those of getpeername(2): `NotConnected` once the peer has gone.
    pub fn peer_addr(&self) -> io::Result<Addr> {
        self.socket.peer_addr()
    }
}

/// Connects to the first address of an endpoint that takes it.
pub(super) fn connect(
    endpoint: &Endpoint,
    kind: SocketType,
    from: Option<&Addr>,
    timeout: Option<Duration>,
) -> Result<OwnedFd, Error> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    try_each(endpoint, "connect to", |addr, untried| {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let share = left.map(|left| left / untried);
        if share.is_some_and(|share| share.is_zero()) {
            return Err(Errno::TIMEDOUT.into());
        }
        Ok(socket::connect(addr, kind, from, share)?)
    })
}

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

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.fd.as_fd()
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

    /// However the writing side ends afterwards, the last bytes arrive, and then the end.
    #[test]
    fn last_bytes_arrive_with_the_end() {
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
