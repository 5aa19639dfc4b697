//! The buffer of a thread that serves TLS.

use std::cell::RefCell;

/// The most plaintext that is encrypted before the socket has taken the ciphertext: four records.
pub(crate) const SEAL_SIZE: usize = 64 * 1024;

thread_local! {
    /// The buffer of this thread for ciphertext that was read, and for pieces of files. It has no
    /// memory on a thread that serves no TLS.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with the buffer of this thread.
pub(crate) fn with_buffer<T>(f: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(SEAL_SIZE, 0);
        f(buffer)
    })
}

/// Ciphertext that a socket did not take.
pub(super) struct Unsent {
    bytes: Vec<u8>,
    /// How much of it was sent meanwhile.
    sent: usize,
}

impl Unsent {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// This much more was sent.
    pub(super) fn consume(&mut self, count: usize) {
        self.sent += count;
    }
}
