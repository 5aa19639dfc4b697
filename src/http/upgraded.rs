//! [`Upgraded`]: a connection that has left HTTP.

use std::fmt;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::net::{Addr, Interest};
use crate::pool::Connection;
use crate::pool::protocol::StopSignal;

/// The raw duplex stream of an upgraded connection. Reads return first the bytes that the server
/// had read beyond the request.
///
/// Reads and writes block, each at most for its timeout. When the server stops, a waiting read
/// fails with `ConnectionAborted`; a last message can still be written.
pub struct Upgraded {
    connection: Box<Connection>,
    /// Bytes that were read beyond the request.
    ahead: Vec<u8>,
    stop: StopSignal,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Upgraded {
    pub(crate) fn new(
        mut connection: Box<Connection>,
        ahead: Vec<u8>,
        stop: StopSignal,
        write_timeout: Duration,
    ) -> Self {
        connection.set_reason(CloseReason::Upgraded);
        Self { connection, ahead, stop, read_timeout: None, write_timeout: Some(write_timeout) }
    }

    /// Sends the rest of the response that began the new protocol.
    pub(crate) fn send_first(&mut self, unsent: &[u8]) -> io::Result<()> {
        self.write_all(unsent)?;
        self.flush()
    }

    /// The peer's address, from accept(2).
    #[must_use]
    pub fn peer(&self) -> &Addr {
        &self.connection.peer
    }

    /// Sets how long a read may wait. `None`, the default: until the server stops.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    /// Sets how long a write may wait. The default is
    /// [`Timeouts::write`](crate::config::Timeouts::write).
    pub fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.write_timeout = timeout;
    }

    /// Whether the server is stopping.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.stop.is_draining()
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        self.connection.wire.end();
    }
}

impl Read for Upgraded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buf.len());
            buf[..count].copy_from_slice(&self.ahead[..count]);
            self.ahead.drain(..count);
            return Ok(count);
        }
        let deadline = self.read_timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            match self.connection.wire.try_read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if self.stop.is_draining() {
                let stopping = "the server is stopping";
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, stopping));
            }
            let stream = self.connection.wire.stream();
            if !stream.wait_or(Interest::Read, deadline, &self.stop)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

impl Write for Upgraded {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let deadline = self.write_timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            match self.connection.wire.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    // The caller may wait for a reply next, and nothing else would send the rest.
                    self.flush()?;
                    return Ok(count);
                }
            }
            if !self.connection.wire.stream().wait(Interest::Write, deadline)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let deadline = self.write_timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        while !self.connection.wire.flush()? {
            if !self.connection.wire.stream().wait(Interest::Write, deadline)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").field("peer", self.peer()).finish_non_exhaustive()
    }
}
