//! [`Cancel`]: whether the response to a request is still wanted.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::pool::cancel::canceller::{CancelledRequest, Canceller};
use crate::pool::upgrades::Job;
use crate::sync::lock;

/// Why the response to a request is no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// The client has closed the connection, or its sending side.
    ClientGone,
    /// The [deadline](crate::http::Request::deadline) of the request has passed.
    DeadlinePassed,
    /// The server is stopping, and the time for it is nearly over.
    Draining,
}

impl CancelReason {
    const ALL: [Self; 3] = [Self::ClientGone, Self::DeadlinePassed, Self::Draining];
}

/// No reason yet.
const NOT_SET: u8 = u8::MAX;

/// Notifies a handler, on any thread, that its response is no longer wanted; see
/// [`Request::cancelled`](crate::http::Request::cancelled). Clones refer to the same request.
///
/// It is set at most once, and only until the request has ended, that is until its response has
/// been sent. Afterwards it keeps its state, and its callbacks never run.
#[derive(Clone)]
pub struct Cancel(Arc<CancelState>);

struct CancelState {
    /// The index of the reason in [`CancelReason::ALL`], or [`NOT_SET`]. It changes once.
    reason: AtomicU8,
    callbacks: Mutex<Callbacks>,
    /// Notified when a callback has returned.
    returned: Condvar,
    /// Runs the callbacks; `None`: the thread that sets this runs them.
    canceller: Option<Arc<Canceller>>,
}

#[derive(Default)]
struct Callbacks {
    waiting: Vec<Job>,
    /// How many threads run a callback at this moment.
    running: usize,
    /// Whether the request has ended.
    ended: bool,
}

impl Cancel {
    /// One that is not set. Without a canceller, the thread that sets it runs the callbacks.
    pub(crate) fn new(canceller: Option<&Arc<Canceller>>) -> Self {
        Self(Arc::new(CancelState {
            reason: AtomicU8::new(NOT_SET),
            callbacks: Mutex::default(),
            returned: Condvar::new(),
            canceller: canceller.map(Arc::clone),
        }))
    }

    /// Whether the response is no longer wanted: one atomic load. Loops may check it often.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.reason.load(Ordering::Acquire) != NOT_SET
    }

    /// Why the response is no longer wanted; `None` while it is wanted.
    #[must_use]
    pub fn reason(&self) -> Option<CancelReason> {
        CancelReason::ALL.get(usize::from(self.0.reason.load(Ordering::Acquire))).copied()
    }

    /// Calls `callback` once this is set, on a thread that the server has for this; if it is set
    /// already, at once on the calling thread. Interrupt the work of the handler there: a query, a
    /// child process, a connection to another server.
    ///
    /// A callback never runs after its request has ended: it cannot interrupt the next request that
    /// uses the same database connection. The worker waits for a callback that runs at that moment.
    /// So a callback must return soon, and it must not wait for its handler. Callbacks of all
    /// requests run one after another. One that panics is logged, and counted in
    /// [`Stats::panics`](crate::Stats::panics).
    ///
    /// A handler that borrows a connection from elsewhere and returns it before its response is
    /// sent has to make the callback harmless then: the next user of the connection is not
    /// protected.
    ///
    /// # Examples
    /// ```
    /// use std::process::Command;
    /// use std::sync::{Arc, Mutex};
    /// use millpond::http::{Request, Response};
    ///
    /// fn convert(req: &mut Request) -> Response {
    ///     let Ok(child) = Command::new("sleep").arg("0").spawn() else {
    ///         return Response::error(millpond::http::StatusCode::INTERNAL_SERVER_ERROR);
    ///     };
    ///     let child = Arc::new(Mutex::new(child));
    ///     req.cancelled().on({
    ///         let child = Arc::clone(&child);
    ///         move || drop(child.lock().map(|mut child| child.kill()))
    ///     });
    ///     // … read the output of the child, and then:
    ///     let status = child.lock().map(|mut child| child.wait());
    ///     Response::text(format!("{status:?}"))
    /// }
    /// # let mut request = Request::from(http::Request::new(millpond::http::Body::empty()));
    /// # assert!(convert(&mut request).status().is_success());
    /// ```
    pub fn on(&self, callback: impl FnOnce() + Send + 'static) {
        let mut callbacks = lock(&self.0.callbacks);
        if callbacks.ended {
            return;
        }
        if self.is_set() {
            callbacks.running += 1;
            drop(callbacks);
            let _running = Running(&self.0);
            callback();
            return;
        }
        callbacks.waiting.push(Box::new(callback));
        drop(callbacks);
        if let Some(canceller) = &self.0.canceller {
            canceller.start();
        }
    }

    /// Sets it, unless it is set.
    pub(crate) fn set(&self, reason: CancelReason) {
        let (free, reason) = (NOT_SET, reason as u8);
        let set = self.0.reason.compare_exchange(free, reason, Ordering::AcqRel, Ordering::Acquire);
        // `on` looks at the reason under this lock: either it finds the reason, or its callback is
        // found here.
        if set.is_err() || lock(&self.0.callbacks).waiting.is_empty() {
            return;
        }
        match &self.0.canceller {
            Some(canceller) => canceller.run(Box::new(self.clone())),
            None => self.run_callbacks(),
        }
    }

    /// The request has ended: its callbacks never run any more. Waits for those that run at this
    /// moment.
    pub(crate) fn end(&self) {
        let mut callbacks = lock(&self.0.callbacks);
        callbacks.ended = true;
        // Dropped without the lock, as they are foreign code.
        let unused = std::mem::take(&mut callbacks.waiting);
        while callbacks.running > 0 {
            let returned = self.0.returned.wait(callbacks);
            callbacks = returned.unwrap_or_else(PoisonError::into_inner);
        }
        drop(callbacks);
        drop(unused);
    }
}

impl CancelledRequest for Cancel {
    fn has_ended(&self) -> bool {
        lock(&self.0.callbacks).ended
    }

    fn run_callbacks(&self) {
        loop {
            let mut callbacks = lock(&self.0.callbacks);
            // At the end of the request the list is emptied.
            if callbacks.waiting.is_empty() {
                return;
            }
            let callback = callbacks.waiting.remove(0);
            callbacks.running += 1;
            drop(callbacks);
            let _running = Running(&self.0);
            if catch_unwind(AssertUnwindSafe(callback)).is_err() {
                log::error!("a callback of a cancelled request panicked");
                if let Some(canceller) = &self.0.canceller {
                    canceller.count_panic();
                }
            }
        }
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("reason", &self.reason()).finish_non_exhaustive()
    }
}

/// A callback that runs, until this is dropped.
struct Running<'a>(&'a CancelState);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        lock(&self.0.callbacks).running -= 1;
        self.0.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    use super::*;

    fn canceller() -> Arc<Canceller> {
        let canceller = Arc::<Canceller>::default();
        canceller.spawn_with(|job| {
            std::thread::spawn(job);
            Ok(())
        });
        canceller
    }

    /// A callback that counts, and its count.
    fn counting() -> (Arc<AtomicUsize>, impl FnOnce() + Send + 'static) {
        let count = Arc::new(AtomicUsize::new(0));
        let callback = {
            let count = Arc::clone(&count);
            move || {
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        (count, callback)
    }

    #[test]
    fn it_is_set_once_and_each_callback_runs_once() {
        let cancel = Cancel::new(None);
        let (before, callback) = counting();
        cancel.on(callback);
        assert!(!cancel.is_set() && cancel.reason().is_none());
        cancel.set(CancelReason::DeadlinePassed);
        cancel.set(CancelReason::ClientGone);
        assert_eq!(cancel.reason(), Some(CancelReason::DeadlinePassed));
        assert_eq!(before.load(Ordering::SeqCst), 1);
        let (after, callback) = counting();
        cancel.clone().on(callback);
        assert_eq!(after.load(Ordering::SeqCst), 1, "at once");
    }

    #[test]
    fn no_callback_runs_after_the_end_and_none_is_kept() {
        let cancel = Cancel::new(None);
        let (count, callback) = counting();
        cancel.on(callback);
        cancel.end();
        assert_eq!(Arc::strong_count(&count), 1);
        cancel.set(CancelReason::ClientGone);
        let (later, callback) = counting();
        cancel.on(callback);
        assert_eq!((count.load(Ordering::SeqCst), later.load(Ordering::SeqCst)), (0, 0));
        assert_eq!(Arc::strong_count(&later), 1);
    }

    #[test]
    fn the_end_waits_for_a_callback_that_runs() {
        let canceller = canceller();
        let mut ran = 0;
        for round in 0..5_000 {
            let cancel = Cancel::new(Some(&canceller));
            let ended = Arc::new(AtomicBool::new(false));
            let (count, counts) = counting();
            cancel.on({
                let ended = Arc::clone(&ended);
                move || {
                    assert!(!ended.load(Ordering::SeqCst));
                    std::thread::yield_now();
                    assert!(!ended.load(Ordering::SeqCst));
                    counts();
                }
            });
            cancel.set(CancelReason::ClientGone);
            (0..round % 50).for_each(|_| std::hint::spin_loop());
            if round % 3 == 0 {
                std::thread::yield_now();
            }
            cancel.end();
            ended.store(true, Ordering::SeqCst);
            ran += count.load(Ordering::SeqCst);
        }
        // A callback that ran after the end would have panicked.
        assert_eq!(canceller.panics(), 0);
        println!("{ran} of 5000 callbacks ran before the end");
        canceller.stop();
    }

    #[test]
    fn requests_that_end_while_a_callback_blocks_do_not_wait_for_the_thread() {
        let canceller = canceller();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let blocking = Cancel::new(Some(&canceller));
        let (sender, runs) = std::sync::mpsc::channel();
        blocking.on(move || {
            sender.send(()).unwrap();
            let _ = released.recv();
        });
        blocking.set(CancelReason::DeadlinePassed);
        runs.recv().unwrap();
        let (count, _) = counting();
        for _ in 0..1_000 {
            let cancel = Cancel::new(Some(&canceller));
            let count = Arc::clone(&count);
            cancel.on(move || {
                count.fetch_add(1, Ordering::SeqCst);
            });
            cancel.set(CancelReason::ClientGone);
            cancel.end();
            assert!(canceller.waiting() <= 1);
        }
        drop(release);
        blocking.end();
        assert_eq!(count.load(Ordering::SeqCst), 0);
        canceller.stop();
    }

    #[test]
    fn a_callback_that_panics_is_counted_and_the_next_one_runs() {
        let canceller = canceller();
        let cancel = Cancel::new(Some(&canceller));
        cancel.on(|| panic!("on purpose"));
        let (sender, done) = std::sync::mpsc::channel();
        cancel.on(move || sender.send(()).unwrap());
        cancel.set(CancelReason::Draining);
        done.recv().unwrap();
        assert_eq!(canceller.panics(), 1);
        canceller.stop();
        let again = Cancel::new(Some(&canceller));
        let (sender, done) = std::sync::mpsc::channel();
        again.on(move || sender.send(()).unwrap());
        again.set(CancelReason::Draining);
        done.recv().expect("a job after the stop starts the thread again");
    }
}
