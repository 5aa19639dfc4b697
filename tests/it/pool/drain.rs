//! A drain: which connections it closes, and when.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use millpond::http::{Request, Response};
use millpond::{CloseReason, Config, ServerState};

use crate::support::{
    addr, connect, read_last_response, read_response, response, start_http, start_http_with,
    uninterrupted, until,
};

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\ngrain";

fn hello(_: &mut Request) -> Response {
    Response::text("Hello")
}

/// A connection that has had one response and is idle.
fn idle(addr: SocketAddr) -> TcpStream {
    let mut stream = connect(addr);
    stream.write_all(POST).unwrap();
    let response = read_response(&mut stream);
    assert!(!response.has_connection_option("close"), "{response:?}");
    stream
}

#[test]
fn a_request_on_an_idle_connection_is_served_while_the_server_drains() {
    let server = start_http(2, hello);
    let mut stream = idle(addr(&server));
    // A quarter of the time is longer than the test needs.
    let mut config = Config::default();
    config.timeouts.drain_idle = Duration::from_secs(60);
    server.reconfigure(config).unwrap();
    server.begin_drain(Duration::from_secs(240));
    assert_eq!(server.state(), ServerState::Draining);
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let error = uninterrupted(|| stream.read(&mut [0])).expect_err("the connection stays open");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(POST).unwrap();
    let response = read_last_response(&mut stream);
    assert_eq!(response.status, 200);
    assert!(response.has_connection_option("close"), "{response:?}");
    let report = server.wait();
    assert_eq!((report.served, report.cut_off), (2, 0), "{report}");
}

#[test]
fn a_connection_without_requests_is_closed_before_the_drain_ends() {
    for deadline in [Duration::from_millis(400), Duration::from_secs(3600)] {
        let mut config = Config::default();
        config.timeouts.drain_idle = Duration::from_millis(100);
        let server = start_http_with(config, hello);
        let mut stream = idle(addr(&server));
        let report = server.drain(deadline);
        assert_eq!((report.served, report.cut_off), (1, 0), "{report}");
        assert_eq!(uninterrupted(|| stream.read(&mut [0])).unwrap(), 0);
        assert_eq!(server.stats().closed_for(CloseReason::Draining), 1);
    }
}

#[test]
fn a_lame_duck_accepts_serves_and_closes_until_it_drains() {
    let server = start_http(2, hello);
    assert!(server.is_ready());
    let mut kept = idle(addr(&server));
    server.lame_duck();
    assert!(!server.is_ready());
    assert_eq!(server.state(), ServerState::LameDuck);
    for stream in [&mut kept, &mut connect(addr(&server))] {
        stream.write_all(POST).unwrap();
        let response = read_last_response(stream);
        assert!(response.has_connection_option("close"), "{response:?}");
    }
    server.drain(Duration::from_secs(30));
    server.lame_duck();
    assert_eq!(server.state(), ServerState::Stopped);
}

/// Each client sends on its kept connection without a look at it, as a proxy does whose event loop
/// has not seen the end of the connection yet.
#[test]
fn no_request_races_with_the_close_of_its_connection() {
    let server = start_http(4, hello);
    let addr = addr(&server);
    let (clients, sent) = (8, AtomicUsize::new(0));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|client: u64| {
                let sent = &sent;
                scope.spawn(move || {
                    let mut stream = connect(addr);
                    let mut random = client + 1;
                    loop {
                        stream.write_all(POST).unwrap();
                        let response = response::read(&mut stream, false).unwrap();
                        sent.fetch_add(1, Ordering::SeqCst);
                        if response.has_connection_option("close") {
                            return;
                        }
                        // Up to 16 ms: much less than `timeouts.drain_idle`.
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        thread::sleep(Duration::from_micros(random % 16_384));
                    }
                })
            })
            .collect();
        until("each client sends", || sent.load(Ordering::SeqCst) > 20 * clients as usize);
        let report = server.drain(Duration::from_secs(120));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(report.cut_off, 0, "{report}");
        assert_eq!(report.served, sent.load(Ordering::SeqCst) as u64);
    });
}

/// The kernel keeps a connection that has sent nothing (`timeouts.defer_accept`) and would reset it
/// when the listener closes, although its client is connected and about to send.
#[test]
fn a_request_of_a_connection_that_was_not_accepted_yet_is_served_by_a_drain() {
    let is_served = || {
        let mut config = Config::default();
        config.timeouts.defer_accept = Duration::from_secs(30);
        let server = start_http_with(config, hello);
        let mut stream = connect(addr(&server));
        server.begin_drain(Duration::from_secs(60));
        stream.write_all(POST).unwrap();
        let response = response::read(&mut stream, false);
        assert_eq!(server.wait().cut_off, 0);
        response.is_ok_and(|response| response.has_connection_option("close"))
    };
    // A test that gets no CPU for a tenth of a second sends its request too late.
    assert!((0..8).any(|_| is_served()));
}
