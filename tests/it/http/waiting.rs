//! Slow clients hold no worker, and all of them together at most half of the workers.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use millpond::http::{Body, Request, Response};
use millpond::pool::WorkerActivity;
use millpond::{CloseReason, Config};

use super::common::GET;
use crate::support::{PATIENCE, TestServer, addr, connect, read_response, start_http_with, until};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Timeouts that end nothing within a test, so that only what holds no worker lets others be
/// served.
pub(crate) fn patient(workers: usize) -> Config {
    let mut config = Config::default();
    config.pool.workers = workers;
    config.overload.shed = false;
    config.timeouts.body = HOUR;
    config.timeouts.write = HOUR;
    config.timeouts.rate_grace = HOUR;
    config
}

/// How many workers have a connection in hand.
pub(crate) fn held(server: &TestServer) -> usize {
    server.workers().iter().filter(|worker| worker.activity == WorkerActivity::Serving).count()
}

pub(crate) fn quick(addr: SocketAddr) {
    let mut client = connect(addr);
    client.write_all(b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut client).status, 200);
}

#[test]
fn pipelining_clients_that_do_not_read_hold_no_worker() {
    let served = Arc::new(AtomicUsize::new(0));
    let server = start_http_with(patient(4), {
        let served = Arc::clone(&served);
        move |_: &mut Request| {
            // Longer than what counts as quick, so that each response is sent before the next
            // request.
            thread::sleep(Duration::from_micros(300));
            served.fetch_add(1, Ordering::SeqCst);
            Response::new(vec![b'x'; 12_000])
        }
    });
    // Handlers are known to be slow.
    for _ in 0..30 {
        quick(addr(&server));
    }
    let flood = GET.repeat(1500);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut client = connect(addr(&server));
            client.write_all(&flood).unwrap();
            client
        })
        .collect();
    // The sockets' buffers are full of responses, and no connection makes progress.
    until("no worker is held", || {
        let before = served.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(100));
        before == served.load(Ordering::SeqCst) && before > 34 && held(&server) == 0
    });
    assert!(served.load(Ordering::SeqCst) < 30 + 4 * 1500);
    for _ in 0..10 {
        quick(addr(&server));
    }
    // Once they read, they get all of it.
    for mut client in clients {
        for _ in 0..1500 {
            assert_eq!(read_response(&mut client).body.len(), 12_000);
        }
    }
}

/// One worker that records each path, and that `/hold` blocks until the test releases it.
struct Turns {
    server: TestServer,
    paths: Arc<Mutex<Vec<String>>>,
    hold: Arc<AtomicBool>,
}

impl Turns {
    fn new(mut config: Config) -> Self {
        config.limits.read_ahead = 0;
        let paths = Arc::new(Mutex::new(Vec::new()));
        let hold = Arc::new(AtomicBool::new(true));
        let handler = {
            let (paths, hold) = (Arc::clone(&paths), Arc::clone(&hold));
            move |request: &mut Request| {
                let path = request.uri().path().to_owned();
                let holds = path == "/hold";
                paths.lock().unwrap().push(path);
                while holds && hold.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
                Response::text("done")
            }
        };
        Self { server: start_http_with(config, handler), paths, hold }
    }

    fn send(&self, client: &mut TcpStream, bytes: &str, queued: usize) {
        client.write_all(bytes.as_bytes()).unwrap();
        until("it is queued", || self.server.stats().queued >= queued);
    }

    fn paths(&self) -> Vec<String> {
        self.paths.lock().unwrap().clone()
    }
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn a_body_left_open_lets_no_request_jump_the_queue() {
    let turns = Turns::new(patient(1));
    let mut open = connect(addr(&turns.server));
    let head = "POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx";
    open.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_response(&mut open).text(), "done");
    let mut holder = connect(addr(&turns.server));
    holder.write_all(get("/hold").as_bytes()).unwrap();
    until("the worker is held", || turns.paths().len() == 2);
    // The end of the body was admitted before; the request behind it was not.
    turns.send(&mut open, &format!("\r\n0\r\n\r\n{}", get("/second")), 1);
    let mut other = connect(addr(&turns.server));
    turns.send(&mut other, &get("/other"), 2);
    turns.hold.store(false, Ordering::SeqCst);
    for client in [&mut holder, &mut other, &mut open] {
        assert_eq!(read_response(client).text(), "done");
    }
    assert_eq!(turns.paths()[2..], ["/other", "/second"]);
}

#[test]
fn pipelined_requests_are_served_one_by_one_while_others_wait() {
    let turns = Turns::new(patient(1));
    let mut holder = connect(addr(&turns.server));
    holder.write_all(get("/hold").as_bytes()).unwrap();
    until("the worker is held", || turns.paths().len() == 1);
    let mut pipeline = connect(addr(&turns.server));
    turns.send(&mut pipeline, &(get("/1") + &get("/2") + &get("/3")), 1);
    let mut other = connect(addr(&turns.server));
    turns.send(&mut other, &get("/other"), 2);
    turns.hold.store(false, Ordering::SeqCst);
    assert_eq!(read_response(&mut other).text(), "done");
    for _ in 0..3 {
        assert_eq!(read_response(&mut pipeline).text(), "done");
    }
    assert_eq!(turns.paths()[1..], ["/1", "/other", "/2", "/3"]);
}

/// Reads the body to its end; streams without end at `/stream`.
pub(crate) fn streaming(request: &mut Request) -> Response {
    if request.uri().path() == "/stream" {
        return Response::new(Body::from_writer(|out| {
            loop {
                out.write_all(&[b'x'; 16 * 1024])?;
            }
        }));
    }
    let mut body = Vec::new();
    match request.body_mut().read_to_end(&mut body) {
        Ok(_) => Response::text("done"),
        Err(error) => Response::from(error),
    }
}

#[test]
fn at_most_half_of_the_workers_wait_for_slow_uploads() {
    let server = start_http_with(patient(4), streaming);
    let chunk = format!("{:x}\r\n{}", 0x8000, "x".repeat(0x5000));
    let upload = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    let mut clients: Vec<_> = (0..6).map(|_| connect(addr(&server))).collect();
    for client in &mut clients {
        client.write_all(upload.as_bytes()).unwrap();
    }
    until("the others are turned away", || server.stats().live == 2 && held(&server) == 2);
    quick(addr(&server));
    until("the others keep their workers", || held(&server) == 2);
    assert_eq!(server.stats().closed_for(CloseReason::Overloaded), 4);
    let mut statuses = Vec::new();
    for client in &mut clients {
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut status = [0; 12];
        match client.read_exact(&mut status) {
            Ok(()) => statuses.push(String::from_utf8(status.to_vec()).unwrap()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                // It has its worker still.
                client.write_all("x".repeat(0x3000).as_bytes()).unwrap();
                client.write_all(b"\r\n0\r\n\r\n").unwrap();
                client.set_read_timeout(Some(PATIENCE)).unwrap();
                assert_eq!(read_response(client).text(), "done");
            }
        }
    }
    assert_eq!(statuses, ["HTTP/1.1 503"; 4]);
}

#[test]
fn at_most_half_of_the_workers_wait_for_readers_of_streams() {
    let server = start_http_with(patient(4), streaming);
    let mut clients: Vec<_> = (0..6).map(|_| connect(addr(&server))).collect();
    for client in &mut clients {
        client.write_all(get("/stream").as_bytes()).unwrap();
    }
    until("the others are cut off", || server.stats().live == 2 && held(&server) == 2);
    for _ in 0..5 {
        quick(addr(&server));
    }
    until("the others keep their workers", || held(&server) == 2);
}

#[test]
fn a_slow_upload_loses_its_worker_by_the_rate_for_workers() {
    let mut config = patient(1);
    config.timeouts.rate_grace = Duration::from_millis(100);
    config.timeouts.min_rate = 1;
    config.timeouts.min_rate_on_worker = 1 << 20;
    let server = start_http_with(config, streaming);
    let mut client = connect(addr(&server));
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    client.write_all(head).unwrap();
    let began = Instant::now();
    // Steady, and far above the rate for those who hold no worker.
    client.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut status = [0; 12];
    while client.read_exact(&mut status).is_err() {
        let _ = client.write_all(&[b'x'; 500]);
        assert!(began.elapsed() < PATIENCE, "it is never cut off");
    }
    assert_eq!(&status, b"HTTP/1.1 408");
    until("it is counted", || server.stats().closed_for(CloseReason::BodyTimeout) == 1);
}

#[test]
fn short_chunked_bodies_are_awaited_off_the_workers() {
    let server = start_http_with(patient(1), streaming);
    let mut slow: Vec<_> = (0..20).map(|_| connect(addr(&server))).collect();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for client in &mut slow {
        client.write_all(head).unwrap();
        client.write_all(b"5\r\nhel").unwrap();
    }
    quick(addr(&server));
    for client in &mut slow {
        for byte in b"lo\r\n0\r\n\r\n" {
            client.write_all(&[*byte]).unwrap();
        }
        assert_eq!(read_response(client).text(), "done");
        client.write_all(&[head, &b"1\r\nx\r\n0\r\n\r\n"[..], GET].concat()).unwrap();
        assert_eq!(read_response(client).text(), "done");
        assert_eq!(read_response(client).text(), "done");
    }
    // What is malformed is not waited for.
    let mut bad = connect(addr(&server));
    bad.write_all(&[&head[..], b"5\r\nhello?"].concat()).unwrap();
    assert_eq!(read_response(&mut bad).status, 400);
}
