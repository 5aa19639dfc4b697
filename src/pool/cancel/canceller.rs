//! [`Canceller`]: one thread that runs the callbacks of requests that are cancelled, one request
//! after another.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use crate::pool::upgrades::{Job, Spawn};
use crate::sync::lock;

/// The callbacks of a cancelled request.
pub(super) trait CancelledRequest: Send {
    /// Runs the callbacks, unless the request has ended.
    fn run_callbacks(&self);

    /// Whether the request has ended, so that its callbacks never run.
    fn has_ended(&self) -> bool;
}

/// Runs callbacks on a thread that is started once it is needed. While a callback blocks, requests
/// that wait for the thread may end. They are removed when another is added, so the queue is no
/// longer than the number of workers.
#[derive(Default)]
pub(crate) struct Canceller {
    spawn: OnceLock<Spawn>,
    jobs: Mutex<Jobs>,
    changed: Condvar,
    /// As [`Jobs::has_thread`]; it spares a handler the lock.
    started: AtomicBool,
    panics: AtomicU64,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Box<dyn CancelledRequest>>,
    has_thread: bool,
    /// Whether the thread ends when no job waits.
    stopping: bool,
}

impl Canceller {
    /// Sets how the thread is made.
    pub(super) fn spawn_with(&self, spawn: impl Fn(Job) -> io::Result<()> + Send + Sync + 'static) {
        // Set once, before any worker runs.
        let _ = self.spawn.set(Box::new(spawn));
    }

    /// Starts the thread, unless it runs.
    pub(super) fn start(self: &Arc<Self>) {
        if !self.started.load(Ordering::Relaxed) {
            self.start_thread(&mut lock(&self.jobs));
        }
    }

    fn start_thread(self: &Arc<Self>, jobs: &mut Jobs) {
        let Some(spawn) = self.spawn.get().filter(|_| !jobs.has_thread) else { return };
        let canceller = Arc::clone(self);
        match spawn(Box::new(move || canceller.work())) {
            Ok(()) => {
                jobs.has_thread = true;
                self.started.store(true, Ordering::Relaxed);
            }
            // The next job tries again.
            Err(error) => log::error!("cannot make the thread that cancels requests: {error}"),
        }
    }

    /// Runs the callbacks of a request on the thread.
    pub(super) fn run(self: &Arc<Self>, request: Box<dyn CancelledRequest>) {
        let mut jobs = lock(&self.jobs);
        jobs.waiting.retain(|request| !request.has_ended());
        jobs.waiting.push_back(request);
        // The server may have stopped, and the thread may have ended.
        self.start_thread(&mut jobs);
        self.changed.notify_one();
    }

    /// Ends the thread after the jobs that wait.
    pub(super) fn stop(&self) {
        lock(&self.jobs).stopping = true;
        self.changed.notify_one();
    }

    fn work(&self) {
        let mut jobs = lock(&self.jobs);
        loop {
            if let Some(request) = jobs.waiting.pop_front() {
                drop(jobs);
                request.run_callbacks();
                drop(request);
                jobs = lock(&self.jobs);
            } else if jobs.stopping {
                jobs.has_thread = false;
                self.started.store(false, Ordering::Relaxed);
                return;
            } else {
                jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// How many requests wait for the thread.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        lock(&self.jobs).waiting.len()
    }

    /// Counts a callback that panicked.
    pub(super) fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").field("started", &self.started).finish_non_exhaustive()
    }
}
