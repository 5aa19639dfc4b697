//! The body of the request: read by the handler, or discarded.

use std::io;

use super::exchange::Exchange;
use crate::close::CloseReason;
use crate::http::codec::body::BodyDecoder;
use crate::http::codec::reject::Reject;
use crate::http::codec::response::CONTINUE;
use crate::net::Interest;

/// How much of an unread body has been discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discarded {
    /// The whole body.
    All,
    /// What has arrived. More is expected.
    Some,
    /// The body is longer than the server discards to keep a connection.
    TooMuch,
}

impl Exchange {
    /// How many bytes of the body are still unread, if that is known.
    pub(crate) fn unread_length(&self) -> Option<u64> {
        match self.length {
            _ if self.body.is_done() => Some(0),
            Some(_) => Some(self.body.next_data_len()),
            None => None,
        }
    }

    /// Reads a piece of the body, and waits for the client if none has arrived. 0 is the end.
    pub(crate) fn read_body(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || self.body.is_done() {
            return Ok(0);
        }
        if self.failure.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.send_continue()?;
        loop {
            if let Some(count) = self.take_body(buf)? {
                return Ok(count);
            }
            self.fill()?;
        }
    }

    /// Takes bytes of the body from the read buffer. `None`: more input has to be read.
    fn take_body(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let data_len = usize::try_from(self.body.next_data_len()).unwrap_or(usize::MAX);
            let input = self.input.filled();
            let count = data_len.min(input.len()).min(buf.len());
            if count > 0 {
                buf[..count].copy_from_slice(&input[..count]);
                self.body.advance(count as u64);
                self.input.consume(count);
                self.reading.bytes += count as u64;
                return Ok(Some(count));
            }
            if data_len > 0 {
                return Ok(None);
            }
            let used = match decode_framing(&mut self.body, self.input.filled()) {
                Ok(used) => used,
                Err(reject) => return Err(self.fail_decoding(reject)),
            };
            self.input.consume(used);
            if self.body.is_done() {
                self.trailers = self.body.take_trailers();
                return Ok(Some(0));
            }
            if used == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads into the read buffer. Waits for the client within the body's timeout and rate.
    fn fill(&mut self) -> io::Result<()> {
        let limit = self.config.limits.head;
        loop {
            let Some(connection) = self.connection.as_mut() else {
                return Err(io::ErrorKind::BrokenPipe.into());
            };
            match self.input.fill(&mut connection.wire, limit) {
                Ok((0, _)) => return Err(self.fail(CloseReason::ClientGone)),
                Ok((_, all)) => {
                    connection.note_read(all);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_client(Interest::Read, error)?;
                }
                Err(_) => return Err(self.fail(CloseReason::ClientGone)),
            }
        }
    }

    /// Sends `100 Continue` to a client that waits for it. A client that has begun to send the body
    /// needs none (RFC 9110 §10.1.1).
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush); `BrokenPipe` if the response has begun: a thread of the
    /// handler may still read then, but a 100 must not follow the final response.
    pub(super) fn send_continue(&mut self) -> io::Result<()> {
        if self.expects_continue && self.responding {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if std::mem::take(&mut self.expects_continue) && self.input.is_empty() {
            self.output.extend_from_slice(CONTINUE);
            self.flush()?;
        }
        Ok(())
    }

    /// Discards what has arrived of the body, at most `limits.unread_body` bytes in all.
    ///
    /// # Errors
    /// A [`Reject`] if the body is malformed.
    pub(crate) fn discard(&mut self) -> Result<Discarded, Reject> {
        while !self.body.is_done() {
            if self.discarded > self.config.limits.unread_body {
                return Ok(Discarded::TooMuch);
            }
            let (used, _) = self.body.decode(self.input.filled())?;
            if used == 0 {
                return Ok(Discarded::Some);
            }
            self.input.consume(used);
            self.discarded += used as u64;
        }
        Ok(Discarded::All)
    }

    /// Whether the unread rest of the body is short enough to be discarded, so that the connection
    /// can be kept. It cannot be kept for a client that still waits for its `100 Continue`, which
    /// may send the body or not.
    pub(crate) fn can_discard(&self) -> bool {
        let expected = self.discarded.saturating_add(self.body.next_data_len());
        self.body.is_done()
            || (!self.expects_continue
                && self.failure.is_none()
                && expected <= self.config.limits.unread_body)
    }

    /// Reads the rest of the body, waiting for it, and discards it. `false`: it is longer than
    /// `limits.unread_body`.
    pub(super) fn discard_to_end(&mut self) -> io::Result<bool> {
        let mut scratch = [0; 4096];
        let mut left = self.config.limits.unread_body;
        while !self.body.is_done() {
            let count = self.read_body(&mut scratch)? as u64;
            match left.checked_sub(count) {
                Some(less) => left = less,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Records that the body is malformed, or too large.
    fn fail_decoding(&mut self, reject: Reject) -> io::Error {
        let reason = reject.close_reason();
        if let Some(connection) = &self.connection {
            log::debug!("{}: {}: {}", connection.peer, reject.status(), reject.explain());
        }
        self.failure = Some(reason);
        let kind = match reason {
            CloseReason::TooLarge => io::ErrorKind::FileTooLarge,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, reject)
    }
}

/// Decodes the framing before the next body data. Returns its length.
fn decode_framing(body: &mut BodyDecoder, input: &[u8]) -> Result<usize, Reject> {
    let mut used = 0;
    while used < input.len() && body.next_data_len() == 0 && !body.is_done() {
        let (count, _) = body.decode(&input[used..=used])?;
        used += count;
        if count == 0 {
            break;
        }
    }
    Ok(used)
}
