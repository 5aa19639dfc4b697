//! Slow readers and writers that hold no worker: their limits of time and memory.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use millpond::CloseReason;
use millpond::http::{Request, Response};

use super::common::GET;
use super::waiting::{HOUR, get, held, patient, quick, streaming};
use crate::support::{
    addr, connect, read_response, read_to_end, start_http_with, uninterrupted, until,
};

/// Large responses at `/large`, whose memory does not fit the sockets.
fn large(request: &mut Request) -> Response {
    match request.uri().path() {
        "/large" => Response::new(vec![b'x'; 12 << 20]),
        _ => Response::text("done"),
    }
}

#[test]
fn the_slowest_readers_are_ended_when_their_memory_is_used_up() {
    let mut config = patient(2);
    config.limits.pending = 12 << 20;
    config.limits.pending_total = 24 << 20;
    let server = start_http_with(config, large);
    let mut sleepers = Vec::new();
    for _ in 0..10 {
        let mut sleeper = connect(addr(&server));
        sleeper.write_all(get("/large").as_bytes()).unwrap();
        sleepers.push(sleeper);
    }
    // One that reads is no slower than those. While it has only begun it may look as slow as they
    // do, and on a busy machine that takes a while.
    let mut whole = 0;
    for _ in 0..5 {
        let mut reader = connect(addr(&server));
        reader.write_all(get("/large").as_bytes()).unwrap();
        let mut response = Vec::new();
        let mut piece = vec![0; 1 << 16];
        while response.len() < 12 << 20 {
            match uninterrupted(|| reader.read(&mut piece)) {
                Ok(count) if count > 0 => response.extend_from_slice(&piece[..count]),
                _ => break,
            }
        }
        whole += usize::from(response.len() >= 12 << 20);
        quick(addr(&server));
    }
    assert!(whole >= 3, "{whole} of 5 were sent whole");
    until("no worker is held", || held(&server) == 0);
    let ended = server.stats().closed_for(CloseReason::WriteTimeout);
    assert!(ended >= 5, "{ended} of 10 readers of about 9 MiB each, where 24 MiB are");
}

#[test]
fn a_steady_reader_outlives_the_write_timeout_and_one_that_takes_nothing_does_not() {
    let mut config = patient(1);
    config.timeouts.write = Duration::from_secs(1);
    let server = start_http_with(config, large);
    let mut silent = connect(addr(&server));
    silent.write_all(get("/large").as_bytes()).unwrap();
    let mut steady = connect(addr(&server));
    steady.write_all(get("/large").as_bytes()).unwrap();
    // With a small buffer its kernel reports each piece that it reads soon enough.
    rustix::net::sockopt::set_socket_recv_buffer_size(&steady, 64 * 1024).unwrap();
    let mut piece = vec![0; 64 * 1024];
    let began = Instant::now();
    // 640 KB/s: a third of the kernel's buffers takes longer than the timeout.
    let mut pieces = 0;
    while began.elapsed() < Duration::from_secs(5) {
        steady.read_exact(&mut piece).unwrap();
        pieces += 1;
        thread::sleep(Duration::from_millis(100));
    }
    let ended = server.stats().closed_for(CloseReason::WriteTimeout);
    assert_eq!(ended, 1, "the silent one and no other");
    // The rest, all of it.
    let mut rest = Vec::new();
    steady.shutdown(std::net::Shutdown::Write).unwrap();
    steady.read_to_end(&mut rest).unwrap();
    let begun = 64 * 1024 * pieces;
    assert!(begun + rest.len() > 12 << 20, "it was cut off after {begun} + {}", rest.len());
}

#[test]
fn a_parked_reader_below_the_minimum_rate_is_ended() {
    let mut config = patient(1);
    config.timeouts.rate_grace = Duration::from_millis(100);
    config.timeouts.min_rate = 4 << 20;
    let server = start_http_with(config, large);
    let mut slow = connect(addr(&server));
    slow.write_all(get("/large").as_bytes()).unwrap();
    let mut piece = vec![0; 4096];
    until("it is ended", || {
        let _ = slow.read(&mut piece);
        server.stats().closed_for(CloseReason::WriteTimeout) == 1
    });
}

#[test]
fn unfinished_requests_have_a_bound_together() {
    let mut config = patient(2);
    config.timeouts.head = HOUR;
    config.limits.head = 8 * 1024;
    config.limits.target = 4 * 1024;
    config.limits.read_ahead = 8 * 1024;
    config.limits.input_total = 64 * 1024;
    let server = start_http_with(config, streaming);
    let part = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(7000));
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = connect(addr(&server));
        client.write_all(part.as_bytes()).unwrap();
        clients.push(client);
    }
    until("most are closed", || {
        let stats = server.stats();
        stats.accepted >= 40 && stats.live <= 9
    });
    // A request in two pieces that needs little has its room.
    let mut small = connect(addr(&server));
    for _ in 0..20 {
        small.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
        let parked = server.stats().parked;
        assert!(parked <= 10);
        thread::sleep(Duration::from_millis(5));
        small.write_all(b"st: a\r\n\r\n").unwrap();
        assert_eq!(read_response(&mut small).text(), "done");
    }
    assert!(server.stats().closed_for(CloseReason::Overloaded) >= 31);
}

#[test]
fn a_client_may_go_on_sending_for_a_while_after_its_response() {
    let mut config = patient(1);
    config.limits.read_ahead = 0;
    config.timeouts.linger = Duration::from_millis(400);
    config.timeouts.linger_total = Duration::from_secs(2);
    let server = start_http_with(config, |_: &mut Request| Response::text("enough"));
    // A body that is too long for the connection to be kept, and one that is thrown away to keep
    // it.
    for (length, kept) in [(10_000_000, false), (60_000, true)] {
        let mut client = connect(addr(&server));
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        client.write_all(head.as_bytes()).unwrap();
        assert_eq!(read_response(&mut client).text(), "enough");
        let before = server.stats().live;
        for _ in 0..8 {
            thread::sleep(Duration::from_millis(100));
            client.write_all(&[b'x'; 1000]).unwrap();
            assert_eq!(server.stats().live, before, "{length}: it is not cut while it sends");
        }
        if kept {
            client.write_all(&vec![b'x'; 52_000]).unwrap();
            client.write_all(GET).unwrap();
            assert_eq!(read_response(&mut client).text(), "enough");
            client.write_all(head.as_bytes()).unwrap();
            assert_eq!(read_response(&mut client).text(), "enough");
        }
        // Then it says nothing, and has little time.
        until("it is closed", || server.stats().live < before);
    }
    // One that never stops has some more.
    let mut client = connect(addr(&server));
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut client).text(), "enough");
    until("it is cut", || {
        let _ = client.write_all(b"x");
        server.stats().live == 0
    });
}

#[test]
fn no_100_follows_the_head_of_the_response() {
    // A thread of the handler's begins to read the body as the response is made.
    let server = start_http_with(patient(2), |request: &mut Request| {
        let mut body = request.take_body();
        thread::spawn(move || body.read(&mut [0; 10]));
        Response::text("done")
    });
    for _ in 0..100 {
        let mut client = connect(addr(&server));
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        client.write_all(head.as_bytes()).unwrap();
        let mut response = read_response(&mut client);
        if response.status == 100 {
            client.write_all(b"hello").unwrap();
            response = read_response(&mut client);
        }
        assert_eq!((response.status, response.text()), (200, "done"));
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut client), "");
    }
}

/// Counts the calls of `refusal`, and panics in it if `panics` is set.
#[derive(Clone, Default)]
struct Asked {
    count: Arc<AtomicUsize>,
    panics: Arc<AtomicBool>,
}

impl millpond::http::Handler for Asked {
    fn handle(&self, _: &mut Request) -> Response {
        Response::text("done")
    }

    fn refusal(&self) -> Option<String> {
        self.count.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics.load(Ordering::SeqCst), "as the test wants it");
        None
    }
}

#[test]
fn the_refusal_of_a_handler_is_built_once_per_configuration() {
    let asked = Asked::default();
    let server = start_http_with(patient(4), asked.clone());
    let ask_all = || {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..20).for_each(|_| quick(addr(&server))));
            }
        });
    };
    ask_all();
    assert_eq!(asked.count.load(Ordering::SeqCst), 1);
    for panics in [false, true] {
        asked.panics.store(panics, Ordering::SeqCst);
        let before = asked.count.load(Ordering::SeqCst);
        server.reconfigure(patient(4)).unwrap();
        ask_all();
        assert_eq!(asked.count.load(Ordering::SeqCst), before + 1, "{panics}");
    }
    assert_eq!(server.stats().panics, 0);
    assert_eq!(server.stats().closed_for(CloseReason::HandlerPanicked), 0);
}
