//! [`Sink`]: where a body goes whose length or bytes are not known beforehand.

use std::io::{self, Write};

use http::HeaderMap;

use super::exchange::Link;
use crate::close::CloseReason;
use crate::http::codec::response::{Transfer, encode_chunk_size, encode_last_chunk};

/// How much is gathered before it is sent.
const GATHERED: usize = 16 * 1024;

/// Frames what is written, gathers it, and sends it, waiting for the client.
///
/// It takes the exchange out of its link for each piece only: what makes the pieces may be reading
/// the request's body from the same link.
pub(super) struct Sink<'a> {
    link: &'a Link,
    chunked: bool,
    /// How much may still be written, if the length was announced.
    left: Option<u64>,
    gathered: Vec<u8>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(link: &'a Link, transfer: &Transfer) -> Self {
        let left = match transfer {
            Transfer::Length(length) => Some(*length),
            _ => None,
        };
        let chunked = matches!(transfer, Transfer::Chunked);
        Self { link, chunked, left, gathered: Vec::new() }
    }

    /// Ends the body.
    ///
    /// # Errors
    /// `InvalidData` if it has another length than was announced.
    pub(super) fn finish(mut self, trailers: Option<&HeaderMap>) -> io::Result<()> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(self.wrong_length());
        }
        self.emit(false)?;
        if self.chunked {
            encode_last_chunk(&mut self.link.lock().output, trailers);
        }
        Ok(())
    }

    fn wrong_length(&mut self) -> io::Error {
        log::error!("a body had another length than was announced; the connection is closed");
        self.link.lock().failure = Some(CloseReason::HandlerFailed);
        io::ErrorKind::InvalidData.into()
    }

    /// Frames what was gathered behind what is encoded, and perhaps sends it.
    fn emit(&mut self, send: bool) -> io::Result<()> {
        let mut exchange = self.link.lock();
        let output = &mut exchange.output;
        if !self.gathered.is_empty() {
            if self.chunked {
                encode_chunk_size(output, self.gathered.len());
            }
            output.extend_from_slice(&self.gathered);
            if self.chunked {
                output.extend_from_slice(b"\r\n");
            }
            self.gathered.clear();
        }
        if send { exchange.flush() } else { Ok(()) }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if let Some(left) = self.left.as_mut() {
            if *left < buf.len() as u64 {
                return Err(self.wrong_length());
            }
            *left -= buf.len() as u64;
        }
        let count = buf.len();
        self.gathered.extend_from_slice(buf);
        if self.gathered.len() >= GATHERED {
            self.emit(true)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.emit(true)
    }
}
