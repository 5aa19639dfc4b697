//! [`Gate`]: handlers wait at it while it is closed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

/// Open at first, unless made by [`closed`](Self::closed).
#[derive(Default)]
pub(crate) struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
    waited: AtomicUsize,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        let gate = Self::default();
        gate.close();
        gate
    }

    pub(crate) fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    pub(crate) fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    /// Waits until it is open.
    pub(crate) fn wait(&self) {
        let closed = self.closed.lock().unwrap();
        self.waited.fetch_add(usize::from(*closed), Ordering::SeqCst);
        drop(self.opened.wait_while(closed, |closed| *closed).unwrap());
    }

    /// How many threads have come while it was closed.
    pub(crate) fn waited(&self) -> usize {
        self.waited.load(Ordering::SeqCst)
    }
}
