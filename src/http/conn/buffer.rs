//! [`ReadBuffer`]: the bytes that were read from a connection. A worker has one, and reuses it.

use std::io;

use crate::pool::Wire;

/// The most bytes of one read.
const READ_SIZE: usize = 16 * 1024;

/// Up to this many bytes are copied when a connection is parked and resumed. More bytes move with
/// their memory, so that input which arrives byte by byte is not copied for each byte.
const PARKED_COPY_MAX: usize = 2 * 1024;

/// Bytes that were read and not used yet.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    /// The worker's own memory, while `bytes` is that of a connection.
    own: Vec<u8>,
}

impl ReadBuffer {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(READ_SIZE), start: 0, own: Vec::new() }
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Loads the bytes that a connection kept while it was parked.
    pub(crate) fn load(&mut self, bytes: Vec<u8>) {
        self.clear();
        if bytes.len() <= PARKED_COPY_MAX {
            self.bytes.extend_from_slice(&bytes);
        } else {
            self.own = std::mem::replace(&mut self.bytes, bytes);
        }
    }

    /// Takes the unused bytes, which the connection keeps while it is parked.
    pub(crate) fn unload(&mut self) -> Vec<u8> {
        if self.filled().len() <= PARKED_COPY_MAX {
            let bytes = self.filled().to_vec();
            self.clear();
            return bytes;
        }
        let own = std::mem::take(&mut self.own);
        let mut bytes = std::mem::replace(&mut self.bytes, own);
        if self.start > 0 {
            bytes.drain(..self.start);
        }
        // Spare capacity is kept, because more input is expected, but no more than there is input.
        if bytes.capacity() > 2 * bytes.len() {
            bytes.shrink_to_fit();
        }
        self.clear();
        bytes
    }

    /// Drops all bytes, and frees memory that had grown for one connection.
    fn clear(&mut self) {
        self.start = 0;
        if self.own.capacity() > 0 {
            self.bytes = std::mem::take(&mut self.own);
        }
        self.bytes.clear();
        if !(READ_SIZE..=2 * READ_SIZE).contains(&self.bytes.capacity()) {
            self.bytes = Vec::with_capacity(READ_SIZE);
        }
    }

    /// Reads what has arrived, without waiting, up to `limit` unused bytes in all. Returns how many
    /// bytes were read, and whether nothing more has arrived.
    ///
    /// # Errors
    /// Those of [`Wire::try_read_behind`].
    pub(crate) fn fill(&mut self, wire: &mut Wire, limit: usize) -> io::Result<(usize, bool)> {
        if self.bytes.len() == self.bytes.capacity() {
            self.make_room(limit);
        }
        wire.try_read_behind(&mut self.bytes)
    }

    fn make_room(&mut self, limit: usize) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
            return;
        }
        let kept = self.bytes.len();
        let size = (kept * 2).min(limit).max(kept + 1).max(READ_SIZE.min(limit));
        self.bytes.reserve_exact(size - kept);
    }
}
