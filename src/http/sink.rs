//! [`Sink`]: where a body goes whose length or bytes are not known beforehand.

use std::io::{self, Write};

use http::HeaderMap;

use super::exchange::Exchange;
use super::response::{Transfer, encode_chunk_size, encode_last_chunk};
use crate::close::CloseReason;

/// How much is gathered before it is sent.
const GATHERED: usize = 16 * 1024;

/// Frames what is written, gathers it, and sends it, waiting for the client.
pub(super) struct Sink<'a> {
    exchange: &'a mut Exchange,
    chunked: bool,
    /// How much may still be written, if the length was announced.
    left: Option<u64>,
    gathered: Vec<u8>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(exchange: &'a mut Exchange, transfer: &Transfer) -> Self {
        let left = match transfer {
            Transfer::Length(length) => Some(*length),
            _ => None,
        };
        let chunked = matches!(transfer, Transfer::Chunked);
        Self { exchange, chunked, left, gathered: Vec::new() }
    }

    /// Frames and sends one piece at once, without counting it against the length.
    pub(super) fn pass(&mut self, piece: &[u8]) -> io::Result<()> {
        self.frame(piece);
        self.exchange.flush()
    }

    /// Ends the body.
    ///
    /// # Errors
    /// `InvalidData` if it has another length than was announced.
    pub(super) fn finish(mut self, trailers: Option<&HeaderMap>) -> io::Result<()> {
        self.emit();
        if self.left.is_some_and(|left| left > 0) {
            return Err(self.wrong_length());
        }
        if self.chunked {
            encode_last_chunk(&mut self.exchange.output, trailers);
        }
        Ok(())
    }

    fn wrong_length(&mut self) -> io::Error {
        log::error!("a body had another length than was announced; the connection is closed");
        self.exchange.failure = Some(CloseReason::HandlerFailed);
        io::ErrorKind::InvalidData.into()
    }

    /// Moves what was gathered behind what is encoded.
    fn emit(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        self.frame(&gathered);
        self.gathered = gathered;
        self.gathered.clear();
    }

    fn frame(&mut self, piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        let output = &mut self.exchange.output;
        if self.chunked {
            encode_chunk_size(output, piece.len());
        }
        output.extend_from_slice(piece);
        if self.chunked {
            output.extend_from_slice(b"\r\n");
        }
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
            self.emit();
            self.exchange.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.emit();
        self.exchange.flush()
    }
}
