//! Deadlines of kept connections: they start again with each exchange.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use millpond::handlers::Hello;
use millpond::http::{Request, Response};
use millpond::{CloseReason, Config, Server, Service};

use crate::support::{
    PATIENCE, SetOnDrop, Start, TestServer, addr, connect, read_response, uninterrupted, until,
};

/// Every timeout of the servers below.
const TIMEOUT: Duration = Duration::from_millis(800);

/// The client says something twice within a timeout, for more than three of them.
const ROUNDS: u32 = 8;

fn config() -> Config {
    let mut config = Config::default();
    config.pool.workers = 2;
    config.timeouts.head = TIMEOUT;
    config.timeouts.idle = TIMEOUT;
    config.timeouts.body = TIMEOUT;
    config.timeouts.write = TIMEOUT;
    config
}

fn http() -> TestServer {
    let builder = Server::builder().config(config()).bind("tcp://127.0.0.1:0");
    builder.http(Hello).build().unwrap().start().unwrap()
}

/// A client that sends `first`, then `again` every half of a timeout, and reads what comes back to
/// each with `read`, lives for as long as it does so. A client that this machine held up itself
/// tries again.
#[track_caller]
fn outlives(
    server: &TestServer,
    first: &[u8],
    again: &[u8],
    read: impl Fn(&mut TcpStream) -> bool,
) {
    let give_up = Instant::now() + PATIENCE;
    'again: loop {
        let mut client = connect(addr(server));
        client.write_all(first).unwrap();
        let began = Instant::now();
        for round in 1..=ROUNDS {
            let next = began + TIMEOUT / 2 * round;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            let alive = client.write_all(again).is_ok() && read(&mut client);
            if Instant::now() > next + TIMEOUT / 4 && Instant::now() < give_up {
                continue 'again;
            }
            assert!(alive, "closed after {:?}: {:?}", began.elapsed(), server.stats());
        }
        return;
    }
}

/// Reads one response, if the connection is still there.
fn answered(client: &mut TcpStream) -> bool {
    let byte = uninterrupted(|| client.peek(&mut [0]));
    byte.is_ok_and(|count| count > 0) && read_response(client).status == 200
}

#[test]
fn a_kept_connection_lives_on_while_requests_come_within_its_idle_timeout() {
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    outlives(&http(), b"", get, answered);
}

#[test]
fn a_stream_of_requests_whose_pieces_end_within_heads_lives_on() {
    let (start, rest) = ("GET / HT", "TP/1.1\r\nHost: a\r\n\r\n");
    outlives(&http(), start.as_bytes(), format!("{rest}{start}").as_bytes(), answered);
}

#[test]
fn a_stream_of_posts_whose_pieces_end_within_bodies_lives_on() {
    let (start, rest) = ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234", "56789");
    outlives(&http(), start.as_bytes(), format!("{rest}{start}").as_bytes(), answered);
}

#[test]
fn a_stream_of_posts_whose_bodies_end_after_their_responses_lives_on() {
    // A handler that leaves a chunked body unread has answered before it ends.
    let builder = Server::builder().config(config()).bind("tcp://127.0.0.1:0");
    let server =
        builder.http(|_: &mut Request| Response::text("done")).build().unwrap().start().unwrap();
    let start = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n012";
    let rest = "34\r\n0\r\n\r\n";
    outlives(&server, start.as_bytes(), format!("{rest}{start}").as_bytes(), answered);
}

#[test]
fn an_echo_connection_lives_on_while_bytes_come_within_its_idle_timeout() {
    let builder = Server::builder().config(config()).bind("tcp://127.0.0.1:0");
    let server = builder.service(Service::echo()).build().unwrap().start().unwrap();
    outlives(&server, b"", b"mill", |client| client.read_exact(&mut [0; 4]).is_ok());
}

#[test]
fn a_kept_connection_whose_requests_are_refused_lives_on() {
    // Each is refused by a worker, as the handler is known to take longer than the client waits.
    let builder = Server::builder().config(config()).bind("tcp://127.0.0.1:0");
    let slow = |_: &mut Request| {
        std::thread::sleep(Duration::from_millis(60));
        Response::text("done")
    };
    let server = builder.http(slow).build().unwrap().start().unwrap();
    let ask =
        |wait: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Timeout: {wait}\r\n\r\n");
    let mut warm = connect(addr(&server));
    for _ in 0..20 {
        warm.write_all(ask("5").as_bytes()).unwrap();
        read_response(&mut warm);
    }
    // From time to time one request is admitted as a trial: this client gets those.
    let ended = AtomicBool::new(false);
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                warm.write_all(ask("1ms").as_bytes()).unwrap();
                read_response(&mut warm);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let _ended = SetOnDrop(&ended);
        outlives(&server, b"", ask("1ms").as_bytes(), |client| {
            let byte = uninterrupted(|| client.peek(&mut [0]));
            let alive = byte.is_ok_and(|count| count > 0);
            let is_refused = alive && read_response(client).status == 503;
            refused.fetch_add(is_refused.into(), Ordering::Relaxed);
            alive
        });
    });
    assert!(refused.load(Ordering::Relaxed) > 0, "none was turned away");
}

#[test]
fn bytes_without_progress_extend_no_deadline() {
    // Within a head, and within a body: byte after byte is not enough.
    for start in ["GET /", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"] {
        let server = http();
        let mut client = connect(addr(&server));
        client.write_all(start.as_bytes()).unwrap();
        let began = Instant::now();
        while client.write_all(b"x").is_ok() {
            assert!(began.elapsed() < PATIENCE, "{start}: it lives on");
            std::thread::sleep(TIMEOUT / 20);
        }
        until("the deadline is counted", || {
            let stats = server.stats();
            let timeouts = [CloseReason::HeadTimeout, CloseReason::BodyTimeout];
            timeouts.iter().map(|reason| stats.closed_for(*reason)).sum::<u64>() == 1
        });
    }
}

#[test]
fn input_does_not_extend_the_write_deadline_of_a_client_that_reads_nothing() {
    // What the client sends wakes the server, which then sees that it still takes nothing.
    let builder = Server::builder().config(config()).bind("tcp://127.0.0.1:0");
    let large = |_: &mut Request| Response::new(vec![b'x'; 15 << 20]);
    let server = builder.http(large).build().unwrap().start().unwrap();
    let mut client = connect(addr(&server));
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let began = Instant::now();
    while client.write_all(b"G").is_ok() {
        assert!(began.elapsed() < PATIENCE, "it lives on");
        std::thread::sleep(TIMEOUT / 20);
    }
    until("it is counted", || server.stats().closed_for(CloseReason::WriteTimeout) == 1);
    let _ = client.shutdown(Shutdown::Both);
}

#[test]
fn the_longest_timeouts_panic_no_thread() {
    let mut config = Config::default();
    config.timeouts.head = Duration::MAX;
    config.timeouts.idle = Duration::MAX;
    config.timeouts.body = Duration::MAX;
    config.timeouts.write = Duration::MAX;
    config.timeouts.linger = Duration::MAX;
    config.timeouts.drain = Duration::MAX;
    config.overload.deadline = Duration::MAX;
    let builder = Server::builder().config(config).bind("tcp://127.0.0.1:0");
    // A version that refuses such settings does not run into this.
    let Ok(server) = builder.http(Hello).build() else { return };
    let server = server.start().unwrap();
    let mut client = connect(addr(&server));
    for _ in 0..3 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_response(&mut client).text(), "Hello, world!");
    }
    drop(client);
    until("the end is noticed", || server.stats().live == 0);
    let report = server.drain(Duration::MAX);
    assert_eq!((report.served, report.cut_off, server.stats().panics), (3, 0, 0));
}
