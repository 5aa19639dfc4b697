//! [`WorkerLocal`]: a state that each worker thread has for itself, such as a database connection.
//!
//! The states are in a thread-local list, so they need not be `Send`, and no lock is taken. A state
//! is taken out of the list while a handler uses it. If the handler panics, the state is dropped
//! with the stack, and the next request on this thread has it made again. A state that cannot be
//! made, or whose handler panics each time, is made again only after a pause, which is doubled with
//! each failure.

use std::any::Any;
use std::cell::RefCell;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::message::{Chain, IntoResponse, Request, Response};
use crate::error::{Error, ErrorKind};
use crate::http::handler::Handler;
use crate::sync::LogThrottle;

/// The pause before a state is made again: from the second failure in a row to the longest, doubled
/// with each failure. After the first failure there is none.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

/// How often the failures of a state are logged at most.
const LOG_PERIOD: Duration = Duration::from_secs(1);

/// The number of the next [`WorkerLocal`].
static NEXT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The states of this thread.
    static SLOTS: RefCell<Vec<StateSlot>> = const { RefCell::new(Vec::new()) };
}

/// The state of one [`WorkerLocal`] on one thread.
struct StateSlot {
    /// The number of the [`WorkerLocal`].
    number: u64,
    worker: usize,
    /// `None` while a handler uses the state, and after a failure.
    state: Option<Box<dyn Any>>,
    /// How often the state had to be made again since a handler last returned.
    failures: u32,
    /// When the state may be made again, after a failure.
    retry_at: Option<Instant>,
}

/// The error of a program's function that makes a state.
pub(crate) type StateError = Box<dyn StdError + Send + Sync>;

/// A state for each worker thread, made by the program's function on that thread.
pub(crate) struct WorkerLocal<S> {
    number: u64,
    make: Box<dyn Fn(usize) -> Result<S, StateError> + Send + Sync>,
    throttle: LogThrottle,
}

impl<S: 'static> WorkerLocal<S> {
    pub(crate) fn new<E>(make: impl Fn(usize) -> Result<S, E> + Send + Sync + 'static) -> Self
    where
        E: Into<StateError>,
    {
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            make: Box::new(move |worker| make(worker).map_err(Into::into)),
            throttle: LogThrottle::every(LOG_PERIOD),
        }
    }

    /// Makes the state of the calling thread, which is the worker with this index, unless it has
    /// one: two routes, or two endpoints, may share a handler.
    pub(crate) fn prepare(&self, worker: usize) -> Result<(), Error> {
        if SLOTS.with_borrow(|slots| slots.iter().any(|slot| slot.number == self.number)) {
            return Ok(());
        }
        let state = (self.make)(worker).map_err(|error| {
            let reason = Chain(error.as_ref());
            let message = format!("cannot make the state of worker-{worker}: {reason}");
            Error::new(ErrorKind::Worker, message)
        })?;
        self.put(worker, Box::new(state));
        Ok(())
    }

    /// Calls `serve` with the state of the calling thread. If it has none and none can be made, the
    /// response is a 503.
    pub(crate) fn serve(
        &self,
        request: &mut Request,
        serve: impl FnOnce(&mut S, &mut Request) -> Response,
    ) -> Response {
        let (worker, state) = match self.take() {
            Some(state) => (0, state),
            None => match self.renew(Instant::now()) {
                Ok(renewed) => renewed,
                Err(rest) => return unavailable(rest),
            },
        };
        let mut used = UsedState(Some(state));
        let response = used.0.as_deref_mut().map(|state| serve(state, request));
        // After a panic, this is not reached.
        if !request.takes_discard()
            && let Some(state) = used.0.take()
        {
            self.put(worker, state);
        }
        response.unwrap_or_else(|| unavailable(Duration::ZERO))
    }

    /// Takes the state of the calling thread, if it has one.
    fn take(&self) -> Option<Box<S>> {
        SLOTS.with_borrow_mut(|slots| {
            let slot = slots.iter_mut().find(|slot| slot.number == self.number)?;
            slot.state.take()?.downcast().ok()
        })
    }

    /// Makes the state of the calling thread again, and returns it with the index of the worker.
    ///
    /// # Errors
    /// How long to wait before the next attempt.
    #[cold]
    fn renew(&self, now: Instant) -> Result<(usize, Box<S>), Duration> {
        let worker = SLOTS.with_borrow_mut(|slots| {
            let Some(slot) = slots.iter_mut().find(|slot| slot.number == self.number) else {
                // A thread that is not a worker, in a test.
                return Ok(None);
            };
            if let Some(at) = slot.retry_at.filter(|at| *at > now) {
                return Err(at - now);
            }
            slot.retry_at = Some(now + pause(slot.failures));
            slot.failures = slot.failures.saturating_add(1);
            Ok(Some(slot.worker))
        })?;
        let index = worker.unwrap_or(0);
        match (self.make)(index) {
            Ok(state) => {
                if worker.is_some() {
                    self.throttle.warn(now, || {
                        format!("worker-{index}: made its state again after a failure")
                    });
                }
                Ok((index, Box::new(state)))
            }
            Err(error) => {
                self.throttle.error(now, || {
                    let reason = Chain(error.as_ref());
                    format!("worker-{index}: cannot make its state: {reason}")
                });
                Err(Duration::ZERO)
            }
        }
    }

    /// Stores the state until the next request. `worker` counts if the thread has no slot yet.
    fn put(&self, worker: usize, state: Box<S>) {
        SLOTS.with_borrow_mut(|slots| {
            match slots.iter_mut().find(|slot| slot.number == self.number) {
                Some(slot) => {
                    slot.state = Some(state);
                    slot.failures = 0;
                    slot.retry_at = None;
                }
                None => slots.push(StateSlot {
                    number: self.number,
                    worker,
                    state: Some(state),
                    failures: 0,
                    retry_at: None,
                }),
            }
        });
    }
}

/// A state that a handler uses. If the handler panics, the state is dropped with it.
struct UsedState<S>(Option<Box<S>>);

impl<S> Drop for UsedState<S> {
    fn drop(&mut self) {
        drop_guarded(self.0.take());
    }
}

impl Drop for StateSlot {
    fn drop(&mut self) {
        drop_guarded(self.state.take());
    }
}

/// Drops a state. If that panics while another panic unwinds, or while the thread ends, it would
/// end the process. The panic hook has reported the panic.
fn drop_guarded<T: ?Sized>(state: Option<Box<T>>) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(state)));
}

/// The pause after this many failures in a row.
fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        failures => PAUSE.1.min(PAUSE.0 * (1 << (failures - 1).min(16))),
    }
}

/// The response of a worker without a state.
#[cold]
fn unavailable(rest: Duration) -> Response {
    let seconds = rest.as_secs() + 1;
    Response::error(StatusCode::SERVICE_UNAVAILABLE)
        .with_header(RETRY_AFTER, HeaderValue::from(seconds))
}

impl<S> Drop for WorkerLocal<S> {
    fn drop(&mut self) {
        // The states of other threads are dropped when those threads end.
        let dropped = SLOTS.try_with(|slots| {
            let mut slots = slots.try_borrow_mut().ok()?;
            let at = slots.iter().position(|slot| slot.number == self.number)?;
            Some(slots.swap_remove(at))
        });
        drop(dropped);
    }
}

impl<S> fmt::Debug for WorkerLocal<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerLocal").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A handler that each worker thread has for itself: see [`Builder::http_with`].
///
/// [`Builder::http_with`]: crate::Builder::http_with
pub struct PerWorker<H>(WorkerLocal<H>);

impl<H: 'static> PerWorker<H> {
    /// A handler that calls `make` once on each worker thread, with the index of the worker, and
    /// passes the requests of that thread to what it returned.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Handler, PerWorker, Request};
    /// use std::convert::Infallible;
    ///
    /// let handler = PerWorker::new(|worker| {
    ///     let mut served = 0;
    ///     Ok::<_, Infallible>(move |_: &mut Request| {
    ///         served += 1;
    ///         format!("request {served} of worker {worker}")
    ///     })
    /// });
    /// let mut request = Request::from(http::Request::new(Default::default()));
    /// assert_eq!(handler.handle(&mut request).status(), 200);
    /// ```
    pub fn new<R, E>(make: impl Fn(usize) -> Result<H, E> + Send + Sync + 'static) -> Self
    where
        H: FnMut(&mut Request) -> R,
        R: IntoResponse,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self(WorkerLocal::new(make))
    }
}

impl<H, R> Handler for PerWorker<H>
where
    H: FnMut(&mut Request) -> R + 'static,
    R: IntoResponse,
{
    fn handle(&self, request: &mut Request) -> Response {
        self.0.serve(request, |handler, request| handler(request).into_response())
    }

    fn prepare_worker(&self, worker: usize) -> Result<(), Error> {
        self.0.prepare(worker)
    }
}

impl<H> fmt::Debug for PerWorker<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PerWorker").field(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn request() -> Request {
        Request::from(http::Request::new(Default::default()))
    }

    fn ok() -> Response {
        Response::empty(StatusCode::OK)
    }

    #[test]
    fn a_state_need_not_be_send_and_is_kept_between_requests() {
        let local = WorkerLocal::new(|worker| Ok::<_, StateError>(Rc::new(Cell::new(worker))));
        local.prepare(7).unwrap();
        local.serve(&mut request(), |state, _| {
            assert_eq!(state.replace(8), 7);
            ok()
        });
        local.serve(&mut request(), |state, _| {
            assert_eq!(state.get(), 8);
            ok()
        });
    }

    #[test]
    fn a_state_is_made_again_after_a_panic_and_after_a_pause_if_that_goes_on() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let local = WorkerLocal::new(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok::<_, StateError>(())
        });
        local.prepare(0).unwrap();
        let panics = || {
            catch_unwind(AssertUnwindSafe(|| local.serve(&mut request(), |(), _| panic!("a bug"))))
        };
        assert!(panics().is_err());
        assert!(panics().is_err());
        assert_eq!(made.load(Ordering::SeqCst), 2, "after one panic it is made at once");
        // With each panic the pause is longer, until a request finds one.
        let deadline = Instant::now() + Duration::from_secs(30);
        let paused = loop {
            match panics() {
                Ok(response) => break response,
                Err(_) => assert!(Instant::now() < deadline, "there is never a pause"),
            }
        };
        assert_eq!(paused.status(), 503);
        assert_eq!(paused.headers()[RETRY_AFTER], "1");
        loop {
            let served = local.serve(&mut request(), |(), _| ok());
            if served.status() == 200 {
                break;
            }
            assert!(Instant::now() < deadline, "the pause never ends");
            std::thread::yield_now();
        }
        let made_before = made.load(Ordering::SeqCst);
        assert!(panics().is_err());
        assert_eq!(
            local.serve(&mut request(), |(), _| ok()).status(),
            200,
            "a response ends the failures"
        );
        assert_eq!(made.load(Ordering::SeqCst), made_before + 1);
    }

    #[test]
    fn a_state_that_panics_when_it_is_dropped_ends_no_process() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("a bug in Drop");
            }
        }
        let thread = std::thread::spawn(|| {
            let local = WorkerLocal::new(|_| Ok::<_, StateError>(Bomb));
            let panics = || local.serve(&mut request(), |_, _| panic!("a bug"));
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
            assert_eq!(local.serve(&mut request(), |_, _| ok()).status(), 200);
            // As on a worker, which ends before the handler is dropped.
            std::mem::forget(local);
        });
        assert!(thread.join().is_ok());
    }

    #[test]
    fn a_handler_that_is_prepared_twice_has_one_state() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let local =
            WorkerLocal::new(move |_| Ok::<_, StateError>(counter.fetch_add(1, Ordering::SeqCst)));
        local.prepare(0).unwrap();
        local.prepare(0).unwrap();
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_state_that_a_handler_discards_is_made_again() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let local =
            WorkerLocal::new(move |_| Ok::<_, StateError>(counter.fetch_add(1, Ordering::SeqCst)));
        local.prepare(0).unwrap();
        let serve = |expected: usize, discards: bool| {
            local.serve(&mut request(), |state, request| {
                assert_eq!(*state, expected);
                if discards {
                    request.discard_state();
                }
                ok()
            })
        };
        serve(0, false);
        serve(0, true);
        serve(1, false);
        serve(1, true);
        serve(2, false);
        assert_eq!(made.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn pauses_grow_to_a_second() {
        assert_eq!(pause(0), Duration::ZERO);
        assert_eq!(pause(1), Duration::from_millis(1));
        assert_eq!(pause(4), Duration::from_millis(8));
        assert_eq!(pause(40), Duration::from_secs(1));
    }

    #[test]
    fn the_states_of_a_thread_are_dropped_with_the_handler() {
        let state = Rc::new(());
        let local = WorkerLocal::new(|_| Ok::<_, StateError>(Rc::new(())));
        let mut kept = state;
        local.serve(&mut request(), |state, _| {
            kept = Rc::clone(state);
            ok()
        });
        assert_eq!(Rc::strong_count(&kept), 2);
        drop(local);
        assert_eq!(Rc::strong_count(&kept), 1);
    }
}
