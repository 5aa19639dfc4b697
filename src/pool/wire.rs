//! [`Wire`]: what carries the bytes of a connection.
//!
//! The protocols read and write plaintext, and none of them knows what is below: a third kind of
//! wire would change no other file.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::net::{Received, Stream};

/// What carries the bytes of a connection. The `try_` methods never wait.
#[derive(Debug)]
pub(crate) enum Wire {
    /// The socket itself.
    Plain(Stream),
}

impl Wire {
    /// The socket: for its addresses and options, and to wait until it is ready.
    #[inline]
    pub(crate) fn stream(&self) -> &Stream {
        match self {
            Self::Plain(stream) => stream,
        }
    }

    /// Reads the bytes that have arrived. 0 is the end.
    ///
    /// # Errors
    /// Those of [`Stream::try_read`].
    #[inline]
    pub(crate) fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_read(buf),
        }
    }

    /// As [`try_read`](Self::try_read), into the spare capacity of a vector. Also returns whether
    /// nothing more has arrived.
    ///
    /// # Errors
    /// Those of [`Stream::try_read`].
    #[inline]
    pub(crate) fn try_read_behind(&mut self, buf: &mut Vec<u8>) -> io::Result<(usize, bool)> {
        match self {
            Self::Plain(stream) => {
                let room = buf.capacity() - buf.len();
                let count = stream.try_read_behind(buf)?;
                Ok((count, count < room))
            }
        }
    }

    /// Reads one record of a sequenced-packet connection.
    ///
    /// # Errors
    /// Those of [`Stream::try_recv_record`].
    pub(crate) fn try_recv_record(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        self.stream().try_recv_record(buf)
    }

    /// Writes as many bytes as there is room for.
    ///
    /// # Errors
    /// Those of [`Stream::try_write`].
    #[inline]
    pub(crate) fn try_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write(buf),
        }
    }

    /// As [`try_write`](Self::try_write), for the last bytes before the end.
    ///
    /// # Errors
    /// Those of [`Stream::try_write`].
    #[inline]
    pub(crate) fn try_write_last(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write_last(buf),
        }
    }

    /// Whether a read would not wait. True at the end, too.
    pub(crate) fn has_input(&self) -> bool {
        self.stream().has_input()
    }

    /// Whether the connection is reset, or closed in both directions, as far as the kernel knows.
    pub(crate) fn is_gone(&self) -> bool {
        self.stream().is_gone()
    }

    /// Ends the sending side: the peer reads the end.
    ///
    /// # Errors
    /// Those of [`Stream::shutdown_write`].
    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream().shutdown_write()
    }

    /// Reads bytes that nobody uses, after the sending side was shut down. 0 is the end.
    ///
    /// # Errors
    /// Those of [`Stream::try_read`].
    pub(crate) fn try_discard(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        self.stream().try_read(scratch)
    }

    /// Makes the close reset the connection.
    pub(crate) fn reset_on_close(&self) {
        self.stream().reset_on_close();
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream().as_fd()
    }
}

impl From<Stream> for Wire {
    fn from(stream: Stream) -> Self {
        Self::Plain(stream)
    }
}
