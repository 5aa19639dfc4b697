//! What a handler knows of its deadline, and of the pressure on the server.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millpond::Config;
use millpond::http::{Request, Response};

use super::common::serve_with;
use crate::support::{
    Gate, PATIENCE, SetOnDrop, TestServer, addr, connect, exchange, read_response, until,
};

/// The time that the server allows for a request.
const LIMIT: Duration = Duration::from_secs(20);

fn config() -> Config {
    let mut config = Config::default();
    config.overload.deadline = LIMIT;
    config
}

/// A server that responds with the milliseconds until the deadline.
fn serve_remaining() -> TestServer {
    serve_with(config(), |request: &mut Request| {
        Response::text(request.remaining().as_millis().to_string())
    })
}

/// What is left for a request with this field line.
#[track_caller]
fn remaining(addr: SocketAddr, field: &str) -> Duration {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n");
    Duration::from_millis(exchange(addr, request.as_bytes()).text().parse().unwrap())
}

#[test]
fn the_deadline_is_the_earliest_of_those_of_the_server_the_client_and_a_proxy() {
    let server = serve_remaining();
    let started = |ago: f64| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        format!("X-Request-Start: t={:.3}\r\n", now.as_secs_f64() - ago)
    };
    for (field, most) in [
        (String::new(), LIMIT),
        ("X-Request-Timeout: 8s\r\n".to_owned(), Duration::from_secs(8)),
        ("X-Request-Timeout: 80s\r\n".to_owned(), LIMIT),
        (started(5.0), Duration::from_secs(15)),
        (started(-0.5), LIMIT),
        (started(300.0), LIMIT),
        (format!("X-Request-Timeout: 18s\r\n{}", started(5.0)), Duration::from_secs(15)),
    ] {
        let sent = Instant::now();
        let left = remaining(addr(&server), &field);
        // The time of a proxy was rounded to a millisecond.
        let (least, most) = (most.saturating_sub(sent.elapsed()), most + Duration::from_millis(2));
        assert!(left + Duration::from_millis(500) >= least && left <= most, "{field:?}: {left:?}");
    }
    assert_eq!(remaining(addr(&server), &started(25.0)), Duration::ZERO, "it has passed");
}

#[test]
fn the_wait_in_the_queue_counts_and_the_request_before_it_on_the_connection_does_not() {
    let gate = Arc::new(Gate::closed());
    let mut config = config();
    config.overload.shed = false;
    let server = serve_with(config, {
        let gate = Arc::clone(&gate);
        move |request: &mut Request| {
            gate.wait();
            let pressure = request.pressure();
            Response::text(format!(
                "{} {} {}",
                pressure.remaining.as_millis(),
                pressure.queue_wait.as_millis(),
                request.remaining() <= pressure.remaining,
            ))
        }
    });
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut first = connect(addr(&server));
    first.write_all(get).unwrap();
    until("the worker is busy", || gate.waited() == 1);
    let mut second = connect(addr(&server));
    // The second request behind it is looked at only when the first has its response.
    second.write_all(&get.repeat(2)).unwrap();
    until("it is queued", || server.stats().queued == 1);
    let queued = Instant::now();
    until("it has waited", || queued.elapsed() >= Duration::from_millis(300));
    gate.open();
    read_response(&mut first);
    let mut read = || {
        let text = read_response(&mut second).text().to_owned();
        let mut parts = text.split(' ').map(str::to_owned);
        let mut millis = || Duration::from_millis(parts.next().unwrap().parse().unwrap());
        let (left, waited) = (millis(), millis());
        assert_eq!(parts.next().unwrap(), "true");
        (left, waited)
    };
    let (left, waited) = read();
    assert!(waited >= Duration::from_millis(299) && left + waited <= LIMIT, "{left:?}, {waited:?}");
    let (left, waited) = read();
    assert!(waited.is_zero() && left > LIMIT - Duration::from_millis(290), "{left:?}, {waited:?}");
}

#[test]
fn a_drain_shortens_the_deadline() {
    let (begin, began) = channel();
    let server = serve_with(config(), move |request: &mut Request| {
        let own = request.deadline();
        begin.send(()).unwrap();
        until("the drain has begun", || request.deadline() < own);
        Response::text(request.remaining().as_millis().to_string())
    });
    let mut client = connect(addr(&server));
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    began.recv_timeout(PATIENCE).unwrap();
    server.drain(Duration::from_secs(10));
    let left: u64 = read_response(&mut client).text().parse().unwrap();
    assert!((1..=10_000).contains(&left), "{left}");
}

#[test]
fn a_handler_sees_an_overload() {
    let seen = Arc::new(AtomicBool::new(false));
    let server = serve_with(Config::default(), {
        let seen = Arc::clone(&seen);
        move |request: &mut Request| {
            let pressure = request.pressure();
            if pressure.overloaded && pressure.load > 1.0 && !pressure.queue_wait.is_zero() {
                seen.store(true, Ordering::SeqCst);
            }
            thread::sleep(Duration::from_millis(10));
            Response::text("done")
        }
    });
    let addr = addr(&server);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = SetOnDrop(&stop);
        for _ in 0..16 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let get = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
                    exchange(addr, get);
                }
            });
        }
        until("a handler has seen the overload", || seen.load(Ordering::SeqCst));
    });
}
