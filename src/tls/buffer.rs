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

/// Ciphertext that waits for room. In a box, as most connections have none.
#[derive(Default)]
pub(super) struct WaitingCiphertext(Option<Box<CiphertextBytes>>);

#[derive(Default)]
struct CiphertextBytes {
    /// What the socket did not take.
    unsent: Vec<u8>,
    /// How much of it was sent meanwhile.
    sent: usize,
    /// What was read while rustls had no room for it.
    unfed: Vec<u8>,
}

impl WaitingCiphertext {
    /// What is left to be sent.
    pub(super) fn unsent(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| &bytes.unsent[bytes.sent..])
    }

    /// Keeps bytes that are to be sent. None are left of those before.
    pub(super) fn set_unsent(&mut self, unsent: Vec<u8>) {
        let bytes = self.0.get_or_insert_default();
        (bytes.unsent, bytes.sent) = (unsent, 0);
    }

    /// This much more was sent.
    pub(super) fn consume(&mut self, count: usize) {
        if let Some(bytes) = &mut self.0 {
            bytes.sent += count;
            if bytes.sent == bytes.unsent.len() {
                (bytes.unsent, bytes.sent) = (Vec::new(), 0);
            }
        }
        self.free();
    }

    pub(super) fn has_unfed(&self) -> bool {
        self.0.as_ref().is_some_and(|bytes| !bytes.unfed.is_empty())
    }

    pub(super) fn set_unfed(&mut self, unfed: Vec<u8>) {
        self.0.get_or_insert_default().unfed = unfed;
    }

    /// Takes what rustls had no room for.
    pub(super) fn take_unfed(&mut self) -> Vec<u8> {
        let unfed = self.0.as_mut().map(|bytes| std::mem::take(&mut bytes.unfed));
        self.free();
        unfed.unwrap_or_default()
    }

    fn free(&mut self) {
        self.0.take_if(|bytes| bytes.unsent.is_empty() && bytes.unfed.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_in_one_direction_does_not_disturb_the_other() {
        let mut waiting = WaitingCiphertext::default();
        assert!(waiting.unsent().is_empty() && !waiting.has_unfed());
        waiting.set_unsent(b"abc".to_vec());
        waiting.consume(2);
        assert_eq!(waiting.unsent(), b"c");
        waiting.set_unfed(b"de".to_vec());
        waiting.consume(1);
        assert!(waiting.unsent().is_empty() && waiting.has_unfed());
        waiting.set_unsent(b"f".to_vec());
        assert_eq!(waiting.take_unfed(), b"de");
        assert_eq!(waiting.unsent(), b"f");
        waiting.consume(1);
        assert!(waiting.0.is_none() && waiting.take_unfed().is_empty());
    }
}
