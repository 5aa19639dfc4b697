//! [`Wire`]: what carries the bytes of a connection.
//!
//! The protocols read and write plaintext, and none of them knows what is below: a third kind of
//! wire would change only this file and `pool/output.rs`.

use std::io;
#[cfg(feature = "tls")]
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(feature = "tls")]
use std::sync::Arc;

use crate::net::{Received, Stream};
#[cfg(feature = "tls")]
use crate::tls::session::Session;
#[cfg(feature = "tls")]
use crate::tls::{Tls, TlsInfo};

/// What carries the bytes of a connection. The `try_` methods never wait.
#[derive(Debug)]
pub(crate) enum Wire {
    /// The socket itself.
    Plain(Stream),
    /// TLS over a socket.
    #[cfg(feature = "tls")]
    Tls(Box<Session>),
}

impl Wire {
    /// TLS, before its handshake.
    #[cfg(feature = "tls")]
    pub(crate) fn tls(stream: Stream, tls: Tls) -> Self {
        Self::Tls(Box::new(Session::new(stream, tls)))
    }

    /// The socket: for its addresses and options, and to wait until it is ready.
    #[inline]
    pub(crate) fn stream(&self) -> &Stream {
        match self {
            Self::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.stream(),
        }
    }

    /// Whether what is read and written is encrypted below.
    #[inline]
    pub(crate) fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// What was negotiated; `None` without TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn tls_info(&self) -> Option<&Arc<TlsInfo>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(session) => session.info(),
        }
    }

    /// Reads the bytes that have arrived. 0 is the end.
    ///
    /// # Errors
    /// Those of [`Stream::try_read`]; with TLS, `UnexpectedEof` at an end that the peer has not
    /// announced, and `InvalidData` if TLS has failed.
    #[inline]
    pub(crate) fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_read(buf),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.try_read(buf),
        }
    }

    /// As [`try_read`](Self::try_read), into the spare capacity of a vector. Also returns whether
    /// nothing more has arrived. Any end is 0.
    ///
    /// # Errors
    /// Those of [`Stream::try_read`]; `InvalidData` if TLS has failed.
    #[inline]
    pub(crate) fn try_read_behind(&mut self, buf: &mut Vec<u8>) -> io::Result<(usize, bool)> {
        match self {
            Self::Plain(stream) => {
                let room = buf.capacity() - buf.len();
                let count = stream.try_read_behind(buf)?;
                Ok((count, count < room))
            }
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.try_read_behind(buf),
        }
    }

    /// Reads one record of a sequenced-packet connection, which has no TLS.
    ///
    /// # Errors
    /// Those of [`Stream::try_recv_record`].
    pub(crate) fn try_recv_record(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        self.stream().try_recv_record(buf)
    }

    /// Writes as many bytes as there is room for. What was written may still have to be
    /// [flushed](Self::flush).
    ///
    /// # Errors
    /// Those of [`Stream::try_write`].
    #[inline]
    pub(crate) fn try_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write(buf),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.try_write(&[IoSlice::new(buf)]),
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
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.try_write_last(buf),
        }
    }

    /// Bytes that were written, and for which the socket had no room. They are not in memory that
    /// the writer knows of.
    #[inline]
    pub(crate) fn unsent(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.unsent(),
        }
    }

    /// Sends what is [unsent](Self::unsent). `false`: the socket has no room for all of it.
    ///
    /// # Errors
    /// Those of [`Stream::try_write`], except `WouldBlock`.
    #[inline]
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.flush(),
        }
    }

    /// Whether a read would not wait. True at the end, too.
    pub(crate) fn has_input(&self) -> bool {
        self.hides_input() || self.stream().has_input()
    }

    /// Whether there is input that epoll cannot report, as it is no longer in the socket.
    #[inline]
    pub(crate) fn hides_input(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.hides_input(),
        }
    }

    /// Whether the connection is reset, or closed in both directions, as far as the kernel knows.
    pub(crate) fn is_gone(&self) -> bool {
        self.stream().is_gone()
    }

    /// Whether it failed by what the peer has sent, and not by the socket.
    pub(crate) fn has_failed(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.has_failed(),
        }
    }

    /// Whether the handshake is not complete.
    #[inline]
    pub(crate) fn is_handshaking(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.is_handshaking(),
        }
    }

    /// Whether the expensive part of the handshake is still to come.
    #[inline]
    pub(crate) fn awaits_hello(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.awaits_hello(),
        }
    }

    /// Whether the handshake has not begun: nothing was received.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.is_silent(),
        }
    }

    /// Announces the end to the peer, if there is TLS (`close_notify`).
    #[inline]
    pub(crate) fn end(&mut self) {
        match self {
            Self::Plain(_) => {}
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.end(),
        }
    }

    /// Ends the sending side: the peer reads the end.
    ///
    /// # Errors
    /// Those of [`Stream::shutdown_write`].
    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        self.end();
        self.stream().shutdown_write()
    }

    /// Reads bytes to discard them, after the sending side was shut down. 0 is the end.
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
