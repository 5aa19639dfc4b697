//! A state for each worker: made before the server is ready, owned by its worker, made again after
//! a panic.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use millpond::http::{Request, Router};
use millpond::{Bind, DrainReport, ErrorKind, Handle, Server};

use crate::support::daemon::get;
use crate::support::ports::until_closed;
use crate::support::{PATIENCE, Start, addr, passes_in_a_process_of_its_own, until};

#[test]
fn each_worker_has_its_own_state_before_the_server_is_ready() {
    let workers = Arc::new(Mutex::new(HashSet::new()));
    let made = Arc::clone(&workers);
    let together = Arc::new(Barrier::new(3));
    let server = Server::builder()
        .bind("tcp://127.0.0.1:0")
        .workers(3)
        .http_with(move |worker| {
            made.lock().unwrap().insert(worker);
            // Neither `Send` nor `Sync`.
            let served = Rc::new(Cell::new(0));
            let together = Arc::clone(&together);
            Ok::<_, std::io::Error>(move |_: &mut Request| {
                together.wait();
                served.set(served.get() + 1);
                format!("{worker} {}", served.get())
            })
        })
        .build()
        .unwrap();
    let server = server.start().unwrap();
    assert_eq!(*workers.lock().unwrap(), HashSet::from([0, 1, 2]));
    // The barrier lets three requests pass together, so that each worker serves one of them.
    let addr = addr(&server);
    for round in 1..=2 {
        let clients: Vec<_> = (0..3)
            .map(|_| thread::spawn(move || String::from_utf8(get(addr, "/").body).unwrap()))
            .collect();
        let mut bodies: Vec<_> = clients.into_iter().map(|it| it.join().unwrap()).collect();
        bodies.sort();
        let expected: Vec<_> = (0..3).map(|worker| format!("{worker} {round}")).collect();
        assert_eq!(bodies, expected);
    }
}

#[test]
fn a_state_that_cannot_be_made_stops_the_start() {
    let made = Arc::new(AtomicUsize::new(0));
    for panics in [false, true] {
        let made = Arc::clone(&made);
        let server = Server::builder()
            .bind("tcp://127.0.0.1:0")
            .workers(4)
            .http_with(move |worker| {
                made.fetch_add(1, Ordering::SeqCst);
                match worker {
                    3 if panics => panic!("no database"),
                    3 => Err("no database"),
                    _ => Ok(|_: &mut Request| "served"),
                }
            })
            .build()
            .unwrap();
        let addr = server.local_addrs()[0].as_socket().unwrap();
        let error = server.start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Worker);
        let text = error.to_string();
        assert!(text.contains("worker-3"), "{text}");
        assert!(panics || text.ends_with("no database"), "{text}");
        until_closed(addr);
    }
    assert_eq!(made.load(Ordering::SeqCst), 8);
}

#[test]
fn after_a_panic_the_state_is_made_again_and_a_panic_each_time_becomes_a_503() {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    let router = Router::new()
        .get("/", |state: &mut usize, _: &mut Request| format!("state {state}"))
        .get("/panic", |_: &mut usize, _: &mut Request| -> &str { panic!("a bug") })
        .with_state(move |_| Ok::<_, std::io::Error>(counter.fetch_add(1, Ordering::SeqCst)));
    let server = Server::builder().bind("tcp://127.0.0.1:0").workers(1).http(router);
    let server = server.build().unwrap().start().unwrap();
    let addr = addr(&server);
    assert_eq!(get(addr, "/").body, b"state 0");
    assert_eq!(get(addr, "/panic").status, 500);
    assert_eq!(get(addr, "/").body, b"state 1");
    let mut statuses = HashSet::new();
    until("a pause after many panics", || {
        let response = get(addr, "/panic");
        if response.status == 503 {
            assert_eq!(response.field("retry-after"), Some("1"));
        }
        statuses.insert(response.status);
        statuses.contains(&503)
    });
    assert_eq!(statuses, HashSet::from([500, 503]));
    until("the state is made again", || get(addr, "/").status == 200);
}

#[test]
fn the_worker_for_urgent_requests_has_a_state_too() {
    let server = Server::builder()
        .bind("tcp://127.0.0.1:0")
        .bind(Bind::to("tcp://127.0.0.1:0").urgent())
        .workers(2)
        .http_with(|worker| {
            Ok::<_, std::io::Error>(move |_: &mut Request| format!("worker {worker}"))
        })
        .build()
        .unwrap();
    let server = server.start().unwrap();
    let urgent = server.local_addrs()[1].as_socket().unwrap();
    let body = get(urgent, "/").body;
    assert!(body.starts_with(b"worker "), "{body:?}");
}

/// Keeps the log lines about states.
struct StateLog(Mutex<Vec<String>>);

static STATE_LOG: StateLog = StateLog(Mutex::new(Vec::new()));

impl log::Log for StateLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = record.args().to_string();
        if record.target().starts_with("millpond::") && line.contains(" its state") {
            self.0.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

#[test]
fn failures_of_states_are_logged_once_a_second_with_their_reason() {
    // The logger is the process's: other tests' servers would write to it as well.
    passes_in_a_process_of_its_own("http::worker_state::failures_of_states_are_logged");
}

#[test]
#[ignore = "sets the logger of the process"]
fn failures_of_states_are_logged() {
    log::set_logger(&STATE_LOG).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let made = AtomicUsize::new(0);
    let panics = |_: &mut (), _: &mut Request| -> &'static str { panic!("a bug") };
    // Two workers and two more states succeed.
    let failing = Router::new().get("/", panics).with_state(move |_| {
        let made = made.fetch_add(1, Ordering::SeqCst);
        if made < 4 { Ok(()) } else { Err("no database") }
    });
    let panicking = Router::new().get("/", panics).with_state(|_| Ok::<_, std::io::Error>(()));
    for (router, expected) in [
        (failing, ": cannot make its state: no database (and "),
        (panicking, ": made its state again after a failure (and "),
    ] {
        STATE_LOG.0.lock().unwrap().clear();
        let server = Server::builder().bind("tcp://127.0.0.1:0").workers(2).http(router);
        let server = server.build().unwrap().start().unwrap();
        let (began, mut requests) = (Instant::now(), 0);
        until("failures that were not logged are counted", || {
            assert!([500, 503].contains(&get(addr(&server), "/").status));
            requests += 1;
            STATE_LOG.0.lock().unwrap().iter().any(|line| line.contains(expected))
        });
        server.stop_now();
        let lines = STATE_LOG.0.lock().unwrap().clone();
        let seconds = began.elapsed().as_secs();
        assert!(lines.len() as u64 <= 1 + seconds, "{requests} requests, {seconds} s: {lines:?}");
        assert!(requests > lines.len(), "{requests} requests: {lines:?}");
    }
}

/// Returns what `stop` returned for a server while a worker's state is being made, which never
/// ends; and what the server's own thread and a waiting thread returned.
fn stop_while_a_state_is_made(stop: fn(&Handle) -> DrainReport) -> [DrainReport; 3] {
    let (enter, entered) = channel();
    // Nothing is sent. The function that makes the state returns once this test has ended.
    let (_end, ended) = channel::<()>();
    let ended = Mutex::new(ended);
    let server = Server::builder()
        .bind("tcp://127.0.0.1:0")
        .workers(3)
        .http_with(move |worker| {
            if worker == 1 {
                enter.send(()).unwrap();
                let _ = ended.lock().unwrap().recv();
            }
            Ok::<_, std::io::Error>(|_: &mut Request| "served")
        })
        .build()
        .unwrap();
    let (handle, addr) = (server.handle(), server.local_addrs()[0].as_socket().unwrap());
    let (report, reports) = channel();
    let spawn = |job: Box<dyn FnOnce() -> DrainReport + Send>| {
        let report = report.clone();
        thread::spawn(move || report.send(job()).unwrap());
    };
    spawn(Box::new(move || server.run().unwrap()));
    entered.recv_timeout(PATIENCE).unwrap();
    let waiting = handle.clone();
    spawn(Box::new(move || waiting.wait()));
    assert!(handle.report().is_none());
    spawn(Box::new(move || stop(&handle)));
    let reports = [(); 3].map(|()| reports.recv_timeout(PATIENCE).expect("the stop ends"));
    until_closed(addr);
    reports
}

#[test]
fn a_state_that_is_never_ready_does_not_keep_another_thread_from_stopping_the_server() {
    let stops: [fn(&Handle) -> DrainReport; 3] = [
        |handle| handle.drain(PATIENCE),
        Handle::stop_now,
        |handle| {
            handle.begin_drain(PATIENCE);
            handle.wait()
        },
    ];
    for stop in stops {
        let [one, other, third] = stop_while_a_state_is_made(stop);
        assert_eq!((&one, &one), (&other, &third));
        assert_eq!((one.served, one.cut_off), (0, 0));
        assert!(one.elapsed < PATIENCE / 2, "{one}");
    }
}

/// Sends, when it is dropped, the thread that made it and the thread that drops it.
struct Dropped(ThreadId, Sender<[ThreadId; 2]>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.1.send([self.0, thread::current().id()]).unwrap();
    }
}

#[test]
fn a_state_is_dropped_on_the_thread_that_made_it() {
    let (sender, dropped) = channel();
    let router = Router::new()
        .get("/panic", |_: &mut Dropped, _: &mut Request| -> &str { panic!("a bug") })
        .with_state(move |_| {
            Ok::<_, std::io::Error>(Dropped(thread::current().id(), sender.clone()))
        });
    let server = Server::builder()
        .bind("tcp://127.0.0.1:0")
        .bind(Bind::to("tcp://127.0.0.1:0").urgent())
        .workers(2)
        .http(router);
    let server = server.build().unwrap().start().unwrap();
    assert_eq!(get(addr(&server), "/panic").status, 500);
    let [made, after_panic] = dropped.recv_timeout(PATIENCE).unwrap();
    assert_eq!(made, after_panic);
    assert!(dropped.try_recv().is_err(), "the others are kept");
    server.drain(Duration::from_secs(5));
    let mut threads = HashSet::new();
    // The state that panicked is not made again before the next request.
    for _ in 0..2 {
        let [made, at_end] = dropped.recv_timeout(PATIENCE).unwrap();
        assert_eq!(made, at_end);
        threads.insert(at_end);
    }
    assert_eq!(threads.len(), 2, "each worker has its own");
    assert!(dropped.recv_timeout(Duration::ZERO).is_err());
}
