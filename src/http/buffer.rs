//! [`Buffer`]: what was read ahead of a connection. A worker has one, and reuses it.

use std::io;

use crate::net::Stream;

/// How much is read at once.
const SIZE: usize = 16 * 1024;

/// Bytes that were read and not yet used.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; SIZE].into(), start: 0, end: 0 }
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Puts back what a connection kept while it was parked.
    pub(crate) fn load(&mut self, bytes: &[u8]) {
        self.clear();
        if bytes.is_empty() {
            return;
        }
        if bytes.len() > self.bytes.len() {
            self.bytes = vec![0; bytes.len().next_power_of_two()].into();
        }
        self.bytes[..bytes.len()].copy_from_slice(bytes);
        self.end = bytes.len();
    }

    /// Takes what is left, for the connection to keep while it is parked.
    pub(crate) fn unload(&mut self) -> Vec<u8> {
        let bytes = self.filled().to_vec();
        self.clear();
        bytes
    }

    /// Forgets everything; gives memory back that one large head had needed.
    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
        if self.bytes.len() > SIZE {
            *self = Self::new();
        }
    }

    /// Reads what is there, without waiting, at most up to `limit` unused bytes in all. Gives how
    /// much was read, and whether that was all there was.
    ///
    /// # Errors
    /// As [`Stream::try_read`].
    pub(crate) fn fill(&mut self, stream: &Stream, limit: usize) -> io::Result<(usize, bool)> {
        if self.end == self.bytes.len() {
            self.make_room(limit);
        }
        let room = &mut self.bytes[self.end..];
        let count = stream.try_read(room)?;
        let all = count < room.len();
        self.end += count;
        Ok((count, all))
    }

    fn make_room(&mut self, limit: usize) {
        let kept = self.end - self.start;
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
        } else {
            let size = (self.bytes.len() * 2).min(limit.max(kept + 1));
            let mut larger = vec![0; size.max(kept + 1)];
            larger[..kept].copy_from_slice(&self.bytes[..kept]);
            self.bytes = larger.into();
        }
        (self.start, self.end) = (0, kept);
    }
}
