//! The state of the workers as the handle reports it, and the wait that a request reports.

use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use millpond::http::{Request, Response};
use millpond::pool::WorkerActivity;
use millpond::{CloseReason, Server};

use crate::support::{Start, TestServer, addr, connect, read_response, uninterrupted, until};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Handlers that wait for `()` before they response with the time that they waited in the queue.
fn held() -> (TestServer, std::sync::mpsc::Sender<()>) {
    let (release, gate) = channel();
    let gate = Mutex::new(gate);
    let mut config = millpond::Config::default();
    config.pool.workers = 1;
    config.overload.shed = false;
    config.overload.deadline = Duration::from_secs(600);
    let handler = move |req: &mut Request| {
        gate.lock().unwrap().recv().unwrap();
        Response::text(req.queue_wait().as_micros().to_string())
    };
    let server =
        Server::builder().config(config).bind("tcp://127.0.0.1:0").http(handler).build().unwrap();
    (server.start().unwrap(), release)
}

#[test]
fn a_worker_reports_which_peer_it_serves_and_since_when() {
    let (handle, release) = held();
    let mut client = connect(addr(&handle));
    client.write_all(GET).unwrap();
    until("the worker serves", || handle.workers()[0].activity == WorkerActivity::Serving);
    let first = &handle.workers()[0];
    assert_eq!(first.peer, client.local_addr().ok());
    assert!(first.to_string().starts_with(&format!("worker-0: serving {}", first.peer.unwrap())));
    until("time passes", || handle.workers()[0].since > first.since);
    release.send(()).unwrap();
    read_response(&mut client);
    until("the worker rests", || handle.workers()[0].activity != WorkerActivity::Serving);
    let then = &handle.workers()[0];
    assert_eq!((then.served, then.peer), (1, None));
    handle.stop_now();
}

#[test]
fn a_request_knows_how_long_it_waited_in_the_queue() {
    let (handle, release) = held();
    let mut clients = [connect(addr(&handle)), connect(addr(&handle))];
    until("both are parked, so that only requests can wait", || handle.stats().parked == 2);
    clients[0].write_all(GET).unwrap();
    until("the worker serves", || handle.workers()[0].activity == WorkerActivity::Serving);
    clients[1].write_all(GET).unwrap();
    until("the second one waits", || handle.stats().queued == 1);
    let before = handle.workers()[0].since;
    until("time passes", || handle.workers()[0].since > before + Duration::from_millis(20));
    release.send(()).unwrap();
    release.send(()).unwrap();
    read_response(&mut clients[0]);
    let waited = read_response(&mut clients[1]);
    assert!(waited.text().parse::<u64>().unwrap() >= 20_000, "{} µs", waited.text());
    handle.stop_now();
}

/// Of three connections one is with the worker, one in the queue, and one parked when the server is
/// stopped.
#[test]
fn a_stopped_server_closes_and_counts_every_connection() {
    let (handle, release) = held();
    let mut clients = [(); 3].map(|()| connect(addr(&handle)));
    until("all are parked", || handle.stats().parked == 3);
    clients[0].write_all(GET).unwrap();
    until("the worker serves", || handle.workers()[0].activity == WorkerActivity::Serving);
    clients[1].write_all(GET).unwrap();
    until("the second one waits", || handle.stats().queued == 1);
    let report = handle.stop_now();
    assert_eq!(report.cut_off, 3);
    for client in &mut clients[1..] {
        // Where the request was not read yet, closing resets the connection.
        let end = uninterrupted(|| client.read(&mut [0])).map_err(|error| error.kind());
        assert!(matches!(end, Ok(0) | Err(std::io::ErrorKind::ConnectionReset)), "{end:?}");
    }
    until("both are counted", || handle.stats().closed_for(CloseReason::DrainTimeout) == 2);
    assert_eq!(handle.stats().live, 1);
    // The handler ends after the server: its connection is not parked for ever.
    release.send(()).unwrap();
    until("the last one is counted", || handle.stats().live == 0);
}
