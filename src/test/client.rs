//! [`TestClient`]: a connection that sends one request while it reads the response.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A connection to a server. It sends its request while the response is read, as the server may
/// wait for the client to read before it reads on.
pub(super) struct TestClient {
    stream: TcpStream,
    unsent: Vec<u8>,
    /// How many bytes of the request have been sent.
    sent: usize,
    deadline: Instant,
}

impl TestClient {
    /// Connects. The whole exchange may take as long as `timeout`.
    pub(super) fn connect(
        addr: SocketAddr,
        request: Vec<u8>,
        timeout: Duration,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, timeout)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, unsent: request, sent: 0, deadline: Instant::now() + timeout })
    }

    /// Sends what the connection accepts now. A server that has responded may not read the rest, so
    /// an error ends the sending only.
    fn send(&mut self) {
        while let Some(rest @ [_, ..]) = self.unsent.get(self.sent..) {
            match self.stream.write(rest) {
                Ok(count @ 1..) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => self.sent = self.unsent.len(),
            }
        }
    }

    /// Waits until the connection can be read, or written if the request is not yet sent.
    fn wait(&self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut events = PollFlags::IN;
        events.set(PollFlags::OUT, self.sent < self.unsent.len());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::from_borrowed_fd(self.stream.as_fd(), events)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Read for TestClient {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            self.send();
            match self.stream.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                result => return result,
            }
        }
    }
}
