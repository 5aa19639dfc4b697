//! [`Completion`]: a thread waits until others have ended, such as the acceptor, or the last
//! connection at a stop.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::sync::lock;

/// A condition variable for the end of connections, datagrams and threads.
///
/// Notifying costs one load while no thread waits. As with the wake-ups of `pool::leader`, a
/// waiting thread announces itself before it looks at the condition, and a notifying thread changes
/// the condition before it looks for the announcement. Both are sequentially consistent, so that at
/// least one of the two sees the other.
#[derive(Debug, Default)]
pub(crate) struct Completion {
    /// How many threads wait.
    waiting: AtomicUsize,
    guard: Mutex<()>,
    changed: Condvar,
}

impl Completion {
    /// Has the waiting threads check their condition again, as something has ended.
    pub(crate) fn notify(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            // A waiting thread has the lock from its look at the condition until it waits, so that
            // no notification comes in between.
            let _guard = lock(&self.guard);
            self.changed.notify_all();
        }
    }

    /// Waits until `done` returns true, or until the deadline. Returns what `done` returned last.
    /// `done` has to read its state by sequentially consistent loads.
    pub(crate) fn wait(&self, deadline: Option<Instant>, mut done: impl FnMut() -> bool) -> bool {
        let _waiting = Waiting::announce(&self.waiting);
        let mut guard = lock(&self.guard);
        loop {
            if done() {
                return true;
            }
            guard = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return false,
                Some(left) => {
                    let waited = self.changed.wait_timeout(guard, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// Counts a waiting thread until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn announce(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_waiting_thread_is_notified_of_the_last_end() {
        let completion = Completion::default();
        let left = AtomicU32::new(10_000);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        left.fetch_sub(1, Ordering::SeqCst);
                        completion.notify();
                    }
                });
            }
            assert!(completion.wait(None, || left.load(Ordering::SeqCst) == 0));
        });
    }

    #[test]
    fn waiting_ends_with_the_deadline() {
        let deadline = Instant::now() + Duration::from_millis(5);
        let completion = Completion::default();
        assert!(!completion.wait(Some(deadline), || false));
        assert!(Instant::now() >= deadline);
        assert_eq!(completion.waiting.load(Ordering::SeqCst), 0, "notifying is one load again");
    }
}
