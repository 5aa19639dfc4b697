//! [`Session`]: the TLS of one connection. All calls of rustls' record layer are in this file and
//! in `session/`.
//!
//! rustls does no I/O here. The session reads ciphertext from the socket into the buffer of its
//! thread and feeds it to rustls; rustls queues ciphertext, which the session writes to the socket.
//! No call waits. What the socket does not take at once stays with the session, and its owner has
//! to call [`flush`](Session::flush) again when there is room.

mod handshake;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, BufRead, IoSlice, Write};
use std::sync::Arc;

use rustls::ServerConnection;

use super::Tls;
use super::buffer::{SEAL_SIZE, WaitingCiphertext, with_buffer};
use super::info::TlsInfo;
use crate::net::Stream;
pub(crate) use handshake::Handshake;

/// The most ciphertext of one read: a record and a little more.
const READ_SIZE: usize = 18 * 1024;

/// The most ciphertext that is queued in rustls, with the overhead of the records.
const QUEUE_LIMIT: usize = SEAL_SIZE + 8 * 1024;

/// The most bytes after the handshake that bring no plaintext. A record has up to 16 KiB.
const WITHOUT_DATA_MAX: u32 = 64 * 1024;

/// Content types of TLS records (RFC 8446 §5.1). No text begins with one of them.
const RECORD_TYPES: std::ops::RangeInclusive<u8> = 0x14..=0x17;

/// The TLS of one connection, and its socket.
pub(crate) struct Session {
    stream: Stream,
    state: SessionState,
    waiting: WaitingCiphertext,
    /// Bytes of plaintext that rustls has decrypted, and the protocol has not read.
    plaintext: usize,
    /// Bytes that were received in the handshake, and after it since the last plaintext.
    bytes_without_data: u32,
    /// How many times the server has sent something during the handshake.
    flights: u8,
    /// Whether the last read found nothing more in the socket.
    is_drained: bool,
    /// Whether the peer has ended its side with a `close_notify`.
    peer_ended: bool,
    /// Whether a `close_notify` was sent.
    has_ended: bool,
    failed: bool,
    info: Option<Arc<TlsInfo>>,
}

/// How far a session is.
enum SessionState {
    /// Nothing was received.
    Silent(Tls),
    Open(Box<ServerConnection>),
}

impl Session {
    pub(crate) fn new(stream: Stream, tls: Tls) -> Self {
        Self {
            stream,
            state: SessionState::Silent(tls),
            waiting: WaitingCiphertext::default(),
            plaintext: 0,
            bytes_without_data: 0,
            flights: 0,
            is_drained: false,
            peer_ended: false,
            has_ended: false,
            failed: false,
            info: None,
        }
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Whether a client without TLS is redirected to `https`.
    pub(crate) fn redirects(&self) -> bool {
        matches!(&self.state, SessionState::Silent(tls) if tls.redirects())
    }

    /// The socket, for a connection whose first bytes are not TLS.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    /// What was negotiated; `None` before the handshake is complete.
    pub(crate) fn info(&self) -> Option<&Arc<TlsInfo>> {
        self.info.as_ref()
    }

    /// Whether the handshake is not complete.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.info.is_none()
    }

    /// Whether anything of the handshake was received.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.state, SessionState::Silent(_))
    }

    /// Whether TLS has failed: nothing can be read or written.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether a read would return something that is no longer in the socket, where epoll could see
    /// it.
    pub(crate) fn hides_input(&self) -> bool {
        self.plaintext > 0 || self.waiting.has_unfed() || self.peer_ended
    }

    /// Bytes of ciphertext that wait for room in the socket.
    pub(crate) fn unsent(&self) -> usize {
        self.waiting.unsent().len()
    }

    /// Reads plaintext. 0 is the end, which the peer has announced.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has arrived; `UnexpectedEof` at an end without `close_notify`;
    /// `InvalidData` if TLS has failed; those of recv(2).
    pub(crate) fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        self.read_with(|piece| {
            let count = piece.len().min(buf.len() - filled);
            buf[filled..filled + count].copy_from_slice(&piece[..count]);
            filled += count;
            count
        })
    }

    /// As [`try_read`](Self::try_read), into the spare capacity of a vector. Also returns whether
    /// nothing more has arrived.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read), but for the end, which is 0 in any case: within a message
    /// of known length it needs no announcement.
    pub(crate) fn try_read_behind(&mut self, buf: &mut Vec<u8>) -> io::Result<(usize, bool)> {
        let result = self.read_with(|piece| {
            let count = piece.len().min(buf.capacity() - buf.len());
            buf.extend_from_slice(&piece[..count]);
            count
        });
        match result {
            Ok(count) => Ok((count, self.is_drained && !self.hides_input())),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok((0, false)),
            Err(error) => Err(error),
        }
    }

    /// Passes plaintext to `take`, piece by piece, until it takes less than a whole piece.
    fn read_with(&mut self, mut take: impl FnMut(&[u8]) -> usize) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            while self.plaintext > 0
                && let SessionState::Open(connection) = &mut self.state
            {
                let mut reader = connection.reader();
                let piece = reader.fill_buf()?;
                let (length, count) = (piece.len(), take(piece));
                reader.consume(count);
                self.plaintext -= count;
                taken += count;
                if count < length {
                    return Ok(taken);
                }
            }
            if taken > 0 || self.peer_ended {
                return Ok(taken);
            }
            match self.receive().and_then(|count| self.count_received(count)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(SessionFault::Blocked) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(SessionFault::Socket(error)) => return Err(error),
                Err(SessionFault::Tls(why)) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
                Err(SessionFault::Cleartext(_)) => return Err(io::ErrorKind::InvalidData.into()),
            }
            // To read may need a response: an alert, or a new key. A failure to send it shows when
            // something else is sent.
            let _ = self.flush();
        }
    }

    /// Encrypts plaintext and sends it. Returns how much of the plaintext was taken: all that is
    /// taken will be sent, but perhaps not now ([`unsent`](Self::unsent)).
    ///
    /// # Errors
    /// `WouldBlock` if the socket has no room; those of send(2).
    pub(crate) fn try_write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.flush()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.seal(bufs)?;
        self.flush()?;
        Ok(count)
    }

    /// As [`try_write`](Self::try_write), with the `close_notify` behind the last byte.
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write).
    pub(crate) fn try_write_last(&mut self, buf: &[u8]) -> io::Result<usize> {
        if !self.flush()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.seal(&[IoSlice::new(buf)])?;
        if count == buf.len() {
            self.announce_end();
        }
        self.flush()?;
        Ok(count)
    }

    fn seal(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let SessionState::Open(connection) = &mut self.state else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if self.has_ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        connection.writer().write_vectored(bufs)
    }

    /// Sends the ciphertext that waits. `false`: the socket has no room for all of it.
    ///
    /// # Errors
    /// Those of send(2), except `WouldBlock`.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        while self.unsent() > 0 {
            match self.stream.try_write(self.waiting.unsent()) {
                Ok(count) => self.waiting.consume(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let SessionState::Open(connection) = &mut self.state else { return Ok(true) };
        while connection.wants_write() {
            match connection.write_tls(&mut CiphertextSink(&self.stream)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Here its length is known, and it counts for the memory of slow readers.
                    let mut rest = Vec::new();
                    while connection.wants_write() {
                        connection.write_tls(&mut rest)?;
                    }
                    self.waiting.set_unsent(rest);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Announces the end to the peer, if the socket has room for that. The caller writes nothing
    /// more: it closes the connection, or shuts down its sending side.
    pub(crate) fn end(&mut self) {
        if self.unsent() == 0 && !self.failed && !self.is_handshaking() {
            self.announce_end();
            let _ = self.flush();
            // Only the `close_notify` can be left. A later attempt to send it would fail, and end
            // a lingering close before the client has read its response.
            self.waiting.consume(self.unsent());
        }
    }

    fn announce_end(&mut self) {
        if !std::mem::replace(&mut self.has_ended, true)
            && let SessionState::Open(connection) = &mut self.state
        {
            connection.send_close_notify();
        }
    }

    /// Reads ciphertext that has arrived, and decrypts it. Returns how much it was; 0 is the end.
    fn receive(&mut self) -> Result<usize, SessionFault> {
        if self.failed {
            return Err(SessionFault::Tls("TLS has failed before".to_owned()));
        }
        if self.waiting.has_unfed() {
            let bytes = self.waiting.take_unfed();
            self.feed(&bytes)?;
            return Ok(bytes.len());
        }
        with_buffer(|buffer| {
            let room = &mut buffer[..READ_SIZE];
            let count = match self.stream.try_read(room) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_drained = true;
                    return Err(SessionFault::Blocked);
                }
                Err(error) => return Err(SessionFault::Socket(error)),
            };
            self.is_drained = count > 0 && count < READ_SIZE;
            self.feed(&buffer[..count])?;
            Ok(count)
        })
    }

    /// Counts bytes that were received after the handshake. Without this limit, a client that
    /// sends faster than this thread decrypts would hold the thread: rustls limits empty records in
    /// a row, and new keys in a row, but not a sequence in which they alternate.
    fn count_received(&mut self, count: usize) -> Result<usize, SessionFault> {
        if self.plaintext > 0 {
            self.bytes_without_data = 0;
            return Ok(count);
        }
        // The next call continues the count: the client may send a little at a time.
        self.bytes_without_data += count as u32;
        if self.bytes_without_data > WITHOUT_DATA_MAX {
            return Err(self.fail(&"too many records without data"));
        }
        Ok(count)
    }

    /// Passes ciphertext to rustls, and has it decrypted.
    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), SessionFault> {
        if let (SessionState::Silent(tls), Some(first)) = (&self.state, bytes.first()) {
            if !RECORD_TYPES.contains(first) {
                return Err(SessionFault::Cleartext(bytes.to_vec()));
            }
            match ServerConnection::new(tls.server_config()) {
                Ok(mut connection) => {
                    connection.set_buffer_limit(Some(QUEUE_LIMIT));
                    self.state = SessionState::Open(Box::new(connection));
                }
                Err(error) => return Err(self.fail(&error)),
            }
        }
        let SessionState::Open(connection) = &mut self.state else { return Ok(()) };
        while !bytes.is_empty() {
            match connection.read_tls(&mut bytes) {
                // What follows the `close_notify` is ignored (RFC 8446 §6.1).
                Ok(0) => break,
                Ok(_) => {}
                Err(_) if self.plaintext > 0 => {
                    self.waiting.set_unfed(bytes.to_vec());
                    break;
                }
                Err(error) => return Err(self.fail(&error)),
            }
            match connection.process_new_packets() {
                Ok(state) => {
                    self.plaintext = state.plaintext_bytes_to_read();
                    self.peer_ended = state.peer_has_closed();
                }
                Err(error) => return Err(self.fail(&error)),
            }
        }
        Ok(())
    }

    /// Sends the alert that rustls has queued for this error.
    #[cold]
    fn fail(&mut self, error: &dyn fmt::Display) -> SessionFault {
        let _ = self.flush();
        self.failed = true;
        SessionFault::Tls(error.to_string())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Why nothing was received.
enum SessionFault {
    /// Nothing has arrived.
    Blocked,
    /// The first bytes are these, and not TLS.
    Cleartext(Vec<u8>),
    /// The socket has failed.
    Socket(io::Error),
    /// TLS has failed: why.
    Tls(String),
}

/// Where rustls writes ciphertext, without waiting.
struct CiphertextSink<'a>(&'a Stream);

impl Write for CiphertextSink<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
