//! Handles: before the server runs, from other threads, and after it has stopped.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use millpond::http::Request;
use millpond::{ErrorKind, Server};

use crate::support::daemon::get;
use crate::support::{Start, addr, until};

fn server() -> Server {
    let builder = Server::builder().bind("tcp://127.0.0.1:0").workers(1);
    builder.http(|_: &mut Request| "served").build().unwrap()
}

#[test]
fn a_handle_from_before_the_run_ends_it_and_both_have_the_report() {
    let server = server();
    let handle = server.handle();
    let addr = addr(&handle);
    let stopper = std::thread::spawn(move || {
        assert_eq!(get(addr, "/").body, b"served");
        handle.drain(Duration::from_secs(10))
    });
    let report = server.run().unwrap();
    assert_eq!(report.served, 1);
    assert_eq!(stopper.join().unwrap(), report);
}

#[test]
fn a_server_that_was_stopped_before_it_runs_does_not_start() {
    let server = server();
    let handle = server.handle();
    let waiting = {
        let handle = handle.clone();
        std::thread::spawn(move || handle.wait())
    };
    let stopped = handle.drain(Duration::from_secs(10));
    assert_eq!(waiting.join().unwrap(), stopped);
    assert_eq!(server.run().unwrap(), stopped);
    assert_eq!(stopped.served, 0);
}

#[test]
fn a_drain_can_begin_without_waiting_for_its_end() {
    let handle = server().start().unwrap();
    assert!(handle.report().is_none());
    handle.begin_drain(Duration::from_secs(10));
    let report = handle.wait();
    assert_eq!(handle.report(), Some(report));
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_task_is_woken_once_the_server_has_stopped() {
    let handle = server().start().unwrap();
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut context = Context::from_waker(&waker);
    let mut stopped = pin!(handle.stopped());
    assert_eq!(stopped.as_mut().poll(&mut context), Poll::Pending);
    handle.begin_drain(Duration::from_secs(10));
    until("the task is woken", || flag.0.load(Ordering::SeqCst));
    assert_eq!(stopped.as_mut().poll(&mut context), Poll::Ready(handle.wait()));
}

#[test]
fn a_future_that_is_dropped_keeps_no_task() {
    let handle = server().start().unwrap();
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    for _ in 0..3 {
        let mut stopped = pin!(handle.stopped());
        for _ in 0..3 {
            assert!(stopped.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(Arc::strong_count(&flag), 3, "one for each future");
    }
    assert_eq!(Arc::strong_count(&flag), 2);
}

#[test]
fn a_drain_does_not_wait_beyond_its_deadline_for_a_worker_that_is_not_ready() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let waiting = Arc::new(AtomicBool::new(false));
    let waits = Arc::clone(&waiting);
    let server = Server::builder().bind("tcp://127.0.0.1:0").workers(2);
    let server = server
        .http_with(move |worker| {
            if worker == 1 {
                waits.store(true, Ordering::SeqCst);
                let _ = released.lock().unwrap().recv();
            }
            Ok::<_, std::io::Error>(|_: &mut Request| "served")
        })
        .build()
        .unwrap();
    let handle = server.handle();
    let run = std::thread::spawn(move || server.run());
    until("a worker prepares itself", || waiting.load(Ordering::SeqCst));
    let began = Instant::now();
    let report = handle.drain(Duration::from_millis(50));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(run.join().unwrap().unwrap(), report);
    drop(release);
}

#[test]
fn drains_and_starts_at_once_end_in_one_report() {
    for round in 0..100 {
        let server = server();
        let handle = server.handle();
        let together = Arc::new(Barrier::new(4));
        let stoppers: Vec<_> = (0..3)
            .map(|index| {
                let (handle, together) = (handle.clone(), Arc::clone(&together));
                std::thread::spawn(move || {
                    together.wait();
                    (0..round * index).for_each(|_| std::thread::yield_now());
                    match index {
                        0 => handle.drain(Duration::from_secs(10)),
                        1 => {
                            handle.begin_drain(Duration::from_secs(10));
                            handle.begin_drain(Duration::from_secs(10));
                            handle.wait()
                        }
                        _ => handle.stop_now(),
                    }
                })
            })
            .collect();
        together.wait();
        let report = server.run().unwrap();
        for stopper in stoppers {
            assert_eq!(stopper.join().unwrap(), report);
        }
        assert_eq!(handle.report(), Some(report));
        assert_eq!(handle.stats().live, 0);
    }
}

#[test]
fn a_server_without_a_service_is_not_built() {
    let error = Server::builder().bind("tcp://127.0.0.1:0").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.to_string(), "no service for tcp://127.0.0.1:0");
    assert!(error.hint().is_some());
}

#[test]
fn without_an_endpoint_the_server_listens_at_loopback_only() {
    // The port may be taken by another program, so that only the address is looked at.
    match Server::builder().http(|_: &mut Request| "served").build() {
        Ok(server) => assert_eq!(server.endpoints(), ["tcp://127.0.0.1:8888"]),
        Err(error) => assert!(error.to_string().contains("127.0.0.1:8888"), "{error}"),
    }
}
