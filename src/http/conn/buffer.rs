//! [`Buffer`]: what was read ahead of a connection. A worker has one, and reuses it.

use std::io;

use crate::net::Stream;

/// How much is read at once.
const SIZE: usize = 16 * 1024;

/// Up to so many bytes are copied from and to a parked connection; more of them are handed over
/// with the memory that they are in, so that input which comes byte by byte is not copied at each
/// of them.
const COPIED: usize = 2 * 1024;

/// Bytes that were read and not yet used.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    /// The worker's own memory, while that of a connection is used in its place.
    own: Vec<u8>,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(SIZE), start: 0, own: Vec::new() }
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

    /// Puts back what a connection kept while it was parked.
    pub(crate) fn load(&mut self, bytes: Vec<u8>) {
        self.clear();
        if bytes.len() <= COPIED {
            self.bytes.extend_from_slice(&bytes);
        } else {
            self.own = std::mem::replace(&mut self.bytes, bytes);
        }
    }

    /// Takes what is left, for the connection to keep while it is parked.
    pub(crate) fn unload(&mut self) -> Vec<u8> {
        if self.filled().len() <= COPIED {
            let bytes = self.filled().to_vec();
            self.clear();
            return bytes;
        }
        let own = std::mem::take(&mut self.own);
        let mut bytes = std::mem::replace(&mut self.bytes, own);
        if self.start > 0 {
            bytes.drain(..self.start);
        }
        // Grown memory is kept, as more is to come; but not much more than there is.
        if bytes.capacity() > 2 * bytes.len() {
            bytes.shrink_to_fit();
        }
        self.clear();
        bytes
    }

    /// Forgets everything; gives memory back that one connection had needed.
    fn clear(&mut self) {
        self.start = 0;
        if self.own.capacity() > 0 {
            self.bytes = std::mem::take(&mut self.own);
        }
        self.bytes.clear();
        if !(SIZE..=2 * SIZE).contains(&self.bytes.capacity()) {
            self.bytes = Vec::with_capacity(SIZE);
        }
    }

    /// Reads what is there, without waiting, at most up to `limit` unused bytes in all. Gives how
    /// much was read, and whether that was all there was.
    ///
    /// # Errors
    /// As [`Stream::try_read`].
    pub(crate) fn fill(&mut self, stream: &Stream, limit: usize) -> io::Result<(usize, bool)> {
        if self.bytes.len() == self.bytes.capacity() {
            self.make_room(limit);
        }
        let room = self.bytes.capacity() - self.bytes.len();
        let count = stream.try_read_behind(&mut self.bytes)?;
        Ok((count, count < room))
    }

    fn make_room(&mut self, limit: usize) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
            return;
        }
        let kept = self.bytes.len();
        let size = (kept * 2).min(limit).max(kept + 1).max(SIZE.min(limit));
        self.bytes.reserve_exact(size - kept);
    }
}
