//! Serves a `tower_service::Service`: an adapter without a runtime, for services whose futures are
//! ready at once, block, or are woken by a thread of their own.
//!
//! ```sh
//! cargo run --example tower
//! curl http://localhost:8888/harvest
//! ```
//!
//! Each worker has a clone of the service, and polls it on its own thread. Between two polls the
//! worker sleeps until the future's waker wakes it, at most until the deadline of the request. A
//! future that needs the reactor or the timer of a runtime, such as tokio's, finds none, and
//! panics: such a service needs a server that runs on that runtime.

#![allow(clippy::print_stderr, reason = "a program may print")]

use std::future::{self, Future, Ready, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use millpond::Server;
use millpond::http::{Body, PerWorker, Problem, Request, Response, StatusCode};
use tower_service::Service;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), millpond::Error> {
    Server::builder().http(handler(Timed(Greeter))).build()?.run()?;
    Ok(())
}

/// A handler that passes requests to `service`, with a clone of it for each worker.
fn handler<S, B>(service: S) -> PerWorker<impl FnMut(&mut Request) -> Result<Response, Problem>>
where
    S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Error: Into<Error>,
    B: Into<Body>,
{
    // Services need not be `Sync`: workers lock it to clone it.
    let prototype = Arc::new(Mutex::new(service));
    PerWorker::new(move |_worker| {
        let prototype = Arc::clone(&prototype);
        let clone = move || prototype.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut service = clone();
        Ok::<_, Error>(move |request: &mut Request| {
            let deadline = request.deadline();
            // A service must be ready before it is called, and is not used after it has failed.
            match block_on(poll_fn(|context| service.poll_ready(context)), deadline) {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    service = clone();
                    return Err(Problem::from_boxed(error.into()));
                }
                None => return Err(too_late()),
            }
            let request = std::mem::replace(&mut **request, http::Request::new(Body::empty()));
            let response = block_on(service.call(request), deadline).ok_or_else(too_late)?;
            Ok(response.map_err(|error| Problem::from_boxed(error.into()))?.into())
        })
    })
}

fn too_late() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE).with_detail("the service is not ready in time")
}

/// Polls a future on this thread until it is ready, or until the deadline, at which it is dropped.
fn block_on<F: Future>(future: F, deadline: Instant) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        // It returns at once if the thread was unparked since it last slept.
        thread::park_timeout(left);
    }
}

/// Wakes a thread that sleeps in [`block_on`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A service whose futures are ready at once.
#[derive(Clone)]
struct Greeter;

impl Service<http::Request<Body>> for Greeter {
    type Response = http::Response<String>;
    type Error = Error;
    type Future = Ready<Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let text = format!("You asked for {}\n", request.uri().path());
        future::ready(Ok(http::Response::new(text)))
    }
}

/// A middleware in the manner of tower: a service around another. It reports slow responses.
#[derive(Clone)]
struct Timed<S>(S);

impl<S: Service<http::Request<Body>>> Service<http::Request<Body>> for Timed<S>
where
    S::Future: Send + 'static,
    S::Response: 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (began, path) = (Instant::now(), request.uri().path().to_owned());
        let response = self.0.call(request);
        Box::pin(async move {
            let response = response.await;
            if began.elapsed() > Duration::from_millis(100) {
                eprintln!("{path} took {:?}", began.elapsed());
            }
            response
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use millpond::http::Handler;

    use super::*;

    /// A service that another thread makes ready, and whose futures another thread completes.
    /// The path `/never` is never completed; with `/fail` the service fails for good.
    #[derive(Default)]
    struct Slow {
        is_ready: Arc<AtomicUsize>,
        has_failed: bool,
        calls: usize,
        clones: Arc<AtomicUsize>,
    }

    impl Clone for Slow {
        fn clone(&self) -> Self {
            self.clones.fetch_add(1, Ordering::SeqCst);
            Self { clones: Arc::clone(&self.clones), ..Self::default() }
        }
    }

    /// Sets `flag` and wakes, from another thread.
    fn set_later(flag: &Arc<AtomicUsize>, context: &Context<'_>) {
        let (flag, waker) = (Arc::clone(flag), context.waker().clone());
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(5));
            flag.store(1, Ordering::SeqCst);
            waker.wake();
        });
    }

    impl Service<http::Request<Body>> for Slow {
        type Response = http::Response<String>;
        type Error = Error;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

        fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
            if self.has_failed {
                return Poll::Ready(Err("the service has failed".into()));
            }
            match self.is_ready.load(Ordering::SeqCst) {
                0 => {
                    set_later(&self.is_ready, context);
                    Poll::Pending
                }
                _ => Poll::Ready(Ok(())),
            }
        }

        fn call(&mut self, request: http::Request<Body>) -> Self::Future {
            assert_eq!(self.is_ready.swap(0, Ordering::SeqCst), 1, "called before it was ready");
            self.calls += 1;
            self.has_failed = request.uri().path() == "/fail";
            let never = request.uri().path() == "/never";
            let text = format!("call {} of this clone", self.calls);
            let (done, mut has_begun) = (Arc::new(AtomicUsize::new(0)), false);
            Box::pin(poll_fn(move |context| {
                if !has_begun && !never {
                    set_later(&done, context);
                }
                has_begun = true;
                match done.load(Ordering::SeqCst) {
                    0 => Poll::Pending,
                    _ => Poll::Ready(Ok(http::Response::new(text.clone()))),
                }
            }))
        }
    }

    fn get(handler: &impl Handler, path: &'static str) -> (u16, String) {
        let mut request = http::Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static(path);
        let response = handler.handle(&mut Request::from(request));
        let status = response.status().as_u16();
        (status, response.into_http().into_body().read_text(1000).unwrap())
    }

    #[test]
    fn futures_that_other_threads_wake_are_served_by_a_clone_for_each_worker() {
        let service = Slow::default();
        let clones = Arc::clone(&service.clones);
        let handler = handler(service);
        assert_eq!(get(&handler, "/"), (200, "call 1 of this clone".to_owned()));
        assert_eq!(get(&handler, "/"), (200, "call 2 of this clone".to_owned()));
        assert_eq!(clones.load(Ordering::SeqCst), 1);
        let of_other_worker = thread::scope(|scope| {
            let other = scope.spawn(|| get(&handler, "/"));
            other.join().unwrap()
        });
        assert_eq!(of_other_worker, (200, "call 1 of this clone".to_owned()));
        assert_eq!(clones.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_future_that_is_not_ready_at_the_deadline_is_a_503() {
        let handler = handler(Slow::default());
        let began = Instant::now();
        assert_eq!(get(&handler, "/never").0, 503);
        assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
        assert_eq!(get(&handler, "/").0, 200);
    }

    #[test]
    fn a_service_that_has_failed_is_replaced_by_a_new_clone() {
        let handler = handler(Slow::default());
        assert_eq!(get(&handler, "/fail").0, 200);
        let (status, text) = get(&handler, "/");
        assert_eq!(status, 500);
        assert!(!text.contains("failed"), "the reason is not for clients: {text}");
        assert_eq!(get(&handler, "/"), (200, "call 1 of this clone".to_owned()));
    }
}
