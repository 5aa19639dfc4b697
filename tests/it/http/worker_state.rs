//! A state for each worker: made before the server is ready, owned by its worker, made again after
//! a panic.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use millpond::http::{Request, Router};
use millpond::{Bind, ErrorKind, Server};

use crate::support::daemon::get;
use crate::support::{Start, addr, until};

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
            .map(|_| std::thread::spawn(move || String::from_utf8(get(addr, "/").body).unwrap()))
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
        assert!(std::net::TcpStream::connect(addr).is_err(), "it does not listen any more");
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
