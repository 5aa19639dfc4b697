//! [`BodySink`]: the writer of a body that is made while it is sent.

use std::io::{self, Write};

use http::HeaderMap;

use super::exchange::ExchangeCell;
use crate::close::CloseReason;
use crate::http::codec::response::{Transfer, encode_chunk, encode_last_chunk};

/// The number of buffered bytes at which they are sent.
const SINK_BUFFER: usize = 16 * 1024;

/// Buffers what is written, frames it, and sends it, waiting for the client.
///
/// It locks the exchange for each piece only: the source of the body may read the request's body
/// through the same lock.
pub(super) struct BodySink<'a> {
    cell: &'a ExchangeCell,
    chunked: bool,
    /// How many more bytes may be written, if the length was announced.
    left: Option<u64>,
    buffered: Vec<u8>,
}

impl<'a> BodySink<'a> {
    pub(super) fn new(cell: &'a ExchangeCell, transfer: &Transfer) -> Self {
        let left = match transfer {
            Transfer::Length(length) => Some(*length),
            _ => None,
        };
        let chunked = matches!(transfer, Transfer::Chunked);
        Self { cell, chunked, left, buffered: Vec::new() }
    }

    /// Ends the body.
    ///
    /// # Errors
    /// `InvalidData` if the body is shorter than announced.
    pub(super) fn finish(mut self, trailers: Option<&HeaderMap>) -> io::Result<()> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(self.wrong_length());
        }
        self.flush_buffer(false)?;
        if self.chunked {
            encode_last_chunk(&mut self.cell.lock().output, trailers);
        }
        Ok(())
    }

    fn wrong_length(&mut self) -> io::Error {
        log::error!(
            "the length of a body differs from the announced length; the connection is closed"
        );
        self.cell.lock().failure = Some(CloseReason::HandlerFailed);
        io::ErrorKind::InvalidData.into()
    }

    /// Appends what is buffered, with its framing, to the encoded output. `send`: sends it, too.
    fn flush_buffer(&mut self, send: bool) -> io::Result<()> {
        let mut exchange = self.cell.lock();
        let output = &mut exchange.output;
        match self.chunked {
            true => encode_chunk(output, &self.buffered),
            false => output.extend_from_slice(&self.buffered),
        }
        self.buffered.clear();
        if send { exchange.flush() } else { Ok(()) }
    }
}

impl Write for BodySink<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if let Some(left) = self.left.as_mut() {
            if *left < buf.len() as u64 {
                return Err(self.wrong_length());
            }
            *left -= buf.len() as u64;
        }
        let count = buf.len();
        self.buffered.extend_from_slice(buf);
        if self.buffered.len() >= SINK_BUFFER {
            self.flush_buffer(true)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_buffer(true)
    }
}
