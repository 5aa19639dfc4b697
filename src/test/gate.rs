//! [`Gate`]: handlers wait at it until the test opens it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::server::PATIENCE;
use crate::sync::lock;

/// Handlers wait at it until the test opens it, so that a test can occupy workers for as long as it
/// needs, without sleeping.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use millpond::http::Request;
/// use millpond::test::{Gate, TestServer};
///
/// let gate = Arc::new(Gate::closed());
/// let server = TestServer::start({
///     let gate = Arc::clone(&gate);
///     move |_: &mut Request| {
///         gate.wait();
///         "served"
///     }
/// });
/// std::thread::scope(|scope| {
///     let client = scope.spawn(|| server.get("/"));
///     gate.wait_for(1); // the handler has come to the gate
///     assert_eq!(server.stats().served, 0);
///     gate.open();
///     client.join().unwrap().assert_status(200);
/// });
/// ```
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    is_open: bool,
    /// How many threads have come while it was closed.
    came: usize,
}

impl Gate {
    /// A gate that is closed.
    #[must_use]
    pub fn closed() -> Self {
        Self::default()
    }

    /// Lets all threads pass that wait, and those that come later.
    pub fn open(&self) {
        lock(&self.state).is_open = true;
        self.changed.notify_all();
    }

    /// Closes it again.
    pub fn close(&self) {
        lock(&self.state).is_open = false;
    }

    /// Waits until it is open. A handler calls this.
    ///
    /// # Panics
    /// If it is still closed after 30 seconds.
    #[track_caller]
    pub fn wait(&self) {
        let mut state = lock(&self.state);
        if !state.is_open {
            state.came += 1;
            self.changed.notify_all();
        }
        let (_, is_open) = self.wait_until(state, |state| state.is_open);
        assert!(is_open, "the gate was not opened within {PATIENCE:?}");
    }

    /// Waits until this many threads have come to the closed gate, in all. A test calls this.
    ///
    /// # Panics
    /// If fewer have come after 30 seconds.
    #[track_caller]
    pub fn wait_for(&self, threads: usize) {
        let (came, enough) = self.wait_until(lock(&self.state), |state| state.came >= threads);
        assert!(enough, "{came} of {threads} threads came to the gate within {PATIENCE:?}");
    }

    /// Waits for a condition. Returns how many threads have come, and whether it is met.
    fn wait_until(
        &self,
        state: MutexGuard<'_, GateState>,
        condition: impl Fn(&GateState) -> bool,
    ) -> (usize, bool) {
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| !condition(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (state.came, condition(&state))
    }
}
