//! The server as a whole: requests in, responses out.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use millpond::handlers::Hello;
use millpond::http::{Body, Request, Response};
use millpond::{CloseReason, Config, Server, Service};

use crate::support::{
    PATIENCE, Start, TestServer, addr, connect, exchange, read_last_response, read_response,
    read_responses, read_to_end, response, start_http, start_http_with, until,
};

fn hello(workers: usize) -> TestServer {
    start_http(workers, Hello)
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const GET_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

#[test]
fn a_request_gets_a_response_and_the_connection_is_kept() {
    let server = hello(1);
    let mut client = connect(addr(&server));
    for _ in 0..3 {
        client.write_all(GET).unwrap();
        let response = read_response(&mut client);
        assert_eq!((response.status, response.reason.as_str()), (200, "OK"));
        assert!(response.field("date").is_some(), "{response:?}");
        assert_eq!(response.text(), "Hello, world!");
    }
    client.write_all(GET_CLOSE).unwrap();
    assert!(read_last_response(&mut client).has_connection_option("close"));
    until("the close is counted", || server.stats().closed_for(CloseReason::Finished) == 1);
}

#[test]
fn pipelined_requests_get_responses_in_order() {
    let server = start_http(2, |req: &mut Request| Response::text(req.uri().path().to_owned()));
    let mut client = connect(addr(&server));
    let requests: String =
        (0..200).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: test\r\n\r\n")).collect();
    client.write_all(requests.as_bytes()).unwrap();
    for n in 0..200 {
        assert_eq!(read_response(&mut client).text(), format!("/{n}"));
    }
}

#[test]
fn head_and_http_1_0_get_responses_of_their_kind() {
    let server = hello(1);
    let head = exchange(addr(&server), b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(head.field("content-length"), Some("13"));
    let old = exchange(addr(&server), b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.text(), "Hello, world!");
}

#[test]
fn bytes_that_are_not_http_get_a_400_and_a_closed_connection() {
    let server = hello(1);
    for garbage in [&b"\x16\x03\x01\x02\x00\x01"[..], b"GET / HTTP/1.1\nHost: a\n\n", b"\0\0\0\0"] {
        assert_eq!(exchange(addr(&server), garbage).status, 400);
    }
    until("they are counted", || server.stats().closed_for(CloseReason::BadRequest) == 3);
}

#[test]
fn a_client_that_shuts_down_its_side_still_gets_its_responses() {
    let server = hello(1);
    let mut client = connect(addr(&server));
    client.write_all(&[GET, GET].concat()).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let texts: Vec<_> = read_responses(&mut client);
    assert!(texts.iter().all(|response| response.text() == "Hello, world!"), "{texts:?}");
    assert_eq!(texts.len(), 2);
}

#[test]
fn a_request_body_is_streamed_in_and_echoed() {
    let server = start_http(2, |req: &mut Request| {
        let mut body = Vec::new();
        match req.body_mut().read_to_end(&mut body) {
            Ok(_) => Response::new(body),
            Err(error) => Response::from(error),
        }
    });
    let body = "0123456789".repeat(100_000);
    let length = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut client = connect(addr(&server));
    client.write_all(length.as_bytes()).unwrap();
    client.write_all(body.as_bytes()).unwrap();
    assert_eq!(read_response(&mut client).text(), body);
    let chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n";
    for piece in chunked.chunks(1) {
        client.write_all(piece).unwrap();
    }
    assert_eq!(read_response(&mut client).text(), "abcde");
    let expects = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    client.write_all(expects.as_bytes()).unwrap();
    assert_eq!(read_response(&mut client).status, 100);
    client.write_all(b"hi").unwrap();
    assert_eq!(read_response(&mut client).text(), "hi");
}

#[test]
fn a_body_that_the_handler_writes_goes_out_in_chunks() {
    let server = start_http(1, |_: &mut Request| {
        Response::new(Body::from_writer(|out| {
            for n in 0..3 {
                writeln!(out, "line {n}")?;
                out.flush()?;
            }
            Ok(())
        }))
    });
    let mut client = connect(addr(&server));
    client.write_all(GET_CLOSE).unwrap();
    // The chunks themselves are looked at: each flush ends one.
    let raw = read_to_end(&mut client);
    let (_, chunks) = raw.split_once("\r\n\r\n").unwrap();
    assert_eq!(chunks, "7\r\nline 0\n\r\n7\r\nline 1\n\r\n7\r\nline 2\n\r\n0\r\n\r\n");
    let response = response::read(&mut raw.as_bytes(), false).unwrap();
    assert_eq!(response.text(), "line 0\nline 1\nline 2\n");
}

#[test]
fn a_panicking_handler_costs_one_request_and_no_worker() {
    let server = start_http(2, |req: &mut Request| {
        assert!(req.uri().path() != "/panic", "as the test wants it");
        Response::text("calm")
    });
    for _ in 0..100 {
        let request = b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(exchange(addr(&server), request).status, 500);
    }
    // Both workers still serve: two requests at the same time, and a hundred more.
    for _ in 0..100 {
        assert_eq!(exchange(addr(&server), GET_CLOSE).text(), "calm");
    }
    let stats = server.stats();
    assert_eq!((stats.panics, stats.workers), (100, 2));
    until("they are counted", || server.stats().closed_for(CloseReason::HandlerPanicked) == 100);
}

#[test]
fn a_connection_that_is_silent_or_sent_half_a_head_holds_no_worker() {
    let server = hello(1);
    let mut silent: Vec<_> = (0..50).map(|_| connect(addr(&server))).collect();
    for client in &mut silent[25..] {
        client.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    }
    assert_eq!(exchange(addr(&server), GET_CLOSE).text(), "Hello, world!");
    for client in &mut silent[25..] {
        client.write_all(b"st: a\r\n\r\n").unwrap();
        assert_eq!(read_response(client).text(), "Hello, world!");
    }
}

#[test]
fn a_slow_reader_holds_no_worker() {
    let server = start_http(1, |req: &mut Request| match req.uri().path() {
        "/large" => {
            // More than sockets hold, less than what is kept for one connection.
            Response::new(vec![b'x'; 200 * 1024])
        }
        _ => Response::text("quick"),
    });
    let mut slow = connect(addr(&server));
    let ask = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
    for _ in 0..40 {
        slow.write_all(ask).unwrap();
    }
    assert_eq!(exchange(addr(&server), GET_CLOSE).text(), "quick");
    for _ in 0..40 {
        assert_eq!(read_response(&mut slow).body.len(), 200 * 1024);
    }
}

#[test]
fn deadlines_end_the_connections_that_exceed_them() {
    let mut config = Config::default();
    config.pool.workers = 1;
    config.timeouts.head = Duration::from_millis(100);
    config.timeouts.idle = Duration::from_millis(150);
    let server = start_http_with(config, Hello);
    let mut half = connect(addr(&server));
    half.write_all(b"GET / HT").unwrap();
    assert_eq!(read_last_response(&mut half).status, 408);
    let mut idle = connect(addr(&server));
    idle.write_all(GET).unwrap();
    read_response(&mut idle);
    assert_eq!(read_to_end(&mut idle), "");
    until("both are counted", || {
        let stats = server.stats();
        let count = |reason| stats.closed_for(reason);
        count(CloseReason::HeadTimeout) == 1 && count(CloseReason::IdleTimeout) == 1
    });
}

#[test]
fn no_wake_up_is_lost_over_many_connections_and_pieces() {
    // Each connection sends many requests in pieces split at places that a generator draws, while
    // the others do the same. A lost wake-up would leave a response out, and time the read out.
    const CLIENTS: usize = 16;
    const CONNECTIONS: usize = 60;
    // A thousand clients on a busy machine are an overload: here it is not to be shed.
    let mut config = Config::default();
    config.pool.workers = 4;
    config.overload.shed = false;
    let server = start_http_with(config, Hello);
    let addr = addr(&server);
    let threads: Vec<_> = (0..CLIENTS)
        .map(|client| {
            thread::spawn(move || {
                let mut seed = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(client as u64 + 1);
                let mut draw = move |below: usize| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    (seed % below as u64) as usize
                };
                let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| connect(addr)).collect();
                for _ in 0..20 {
                    let cuts: Vec<_> = (0..CONNECTIONS).map(|_| draw(GET.len())).collect();
                    for (stream, cut) in streams.iter_mut().zip(&cuts) {
                        stream.write_all(&GET[..*cut]).unwrap();
                    }
                    for (stream, cut) in streams.iter_mut().zip(&cuts) {
                        stream.write_all(&GET[*cut..]).unwrap();
                    }
                    for stream in &mut streams {
                        assert_eq!(read_response(stream).text(), "Hello, world!");
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // A worker counts a request after its response is sent.
    let all = CLIENTS * CONNECTIONS * 20;
    until("every request is counted", || server.stats().served as usize >= all);
    assert_eq!(server.stats().served as usize, all);
}

#[test]
fn a_full_queue_refuses_with_503_and_retry_after() {
    let gate = Arc::new(std::sync::Barrier::new(2));
    let entered = Arc::new(AtomicUsize::new(0));
    let mut config = Config::default();
    config.pool.workers = 1;
    config.pool.queue = Some(1);
    let server = start_http_with(config, {
        let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
        move |req: &mut Request| {
            match req.uri().path() {
                "/wait" => {
                    entered.store(1, Ordering::SeqCst);
                    gate.wait();
                }
                "/slow" => thread::sleep(Duration::from_millis(5)),
                _ => {}
            }
            Response::text("done")
        }
    });
    let addr = addr(&server);
    // Were handlers known to be quick, the newcomers would be left in the backlog for a moment.
    for _ in 0..10 {
        exchange(addr, b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    let mut held = connect(addr);
    held.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("the worker is busy", || entered.load(Ordering::SeqCst) == 1);
    let mut others: Vec<_> = (0..8).map(|_| connect(addr)).collect();
    for client in &mut others {
        client.write_all(GET_CLOSE).unwrap();
    }
    until("a request is refused", || server.stats().refused_total() > 0);
    gate.wait();
    let responses: Vec<_> = others.iter_mut().map(read_last_response).collect();
    let refused: Vec<_> = responses.iter().filter(|response| response.status == 503).collect();
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|response| response.field("retry-after").is_some()), "{refused:?}");
    assert!(responses.iter().any(|response| response.text() == "done"), "{responses:?}");
}

#[test]
fn echo_echoes_on_tcp_and_unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo.sock");
    let server = Server::builder()
        .bind("tcp://127.0.0.1:0")
        .bind(format!("unix:{}", path.display()))
        .workers(2)
        .service(Service::echo())
        .build()
        .unwrap()
        .start()
        .unwrap();
    let text = "water ".repeat(100_000);
    let mut tcp = connect(addr(&server));
    let mut writer = tcp.try_clone().unwrap();
    let sent = text.clone();
    let sender = thread::spawn(move || {
        writer.write_all(sent.as_bytes()).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    assert!(read_to_end(&mut tcp) == text, "what came back differs");
    sender.join().unwrap();
    let mut unix = std::os::unix::net::UnixStream::connect(&path).unwrap();
    unix.set_read_timeout(Some(PATIENCE)).unwrap();
    unix.write_all(b"mill").unwrap();
    let mut back = [0; 4];
    unix.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"mill");
    server.drain(PATIENCE);
    assert!(!path.exists(), "the socket's file goes with the server");
}

#[test]
fn a_drain_serves_what_was_accepted_and_closes_idle_connections() {
    let served = Arc::new(AtomicUsize::new(0));
    let server = start_http(2, {
        let served = Arc::clone(&served);
        move |_: &mut Request| {
            thread::sleep(Duration::from_millis(20));
            served.fetch_add(1, Ordering::SeqCst);
            Response::text("done")
        }
    });
    let mut idle = connect(addr(&server));
    idle.write_all(GET).unwrap();
    read_response(&mut idle);
    let mut clients: Vec<_> = (0..10).map(|_| connect(addr(&server))).collect();
    for client in &mut clients {
        client.write_all(GET).unwrap();
    }
    let report = server.drain(PATIENCE);
    for client in &mut clients {
        let response = read_last_response(client);
        assert_eq!(response.text(), "done");
        assert!(response.has_connection_option("close"), "{response:?}");
    }
    assert_eq!(read_to_end(&mut idle), "");
    assert_eq!((report.served, report.cut_off), (11, 0));
    let stats = server.stats();
    assert_eq!(stats.accepted, stats.closed_total());
    assert_eq!(stats.live, 0);
}

#[test]
fn a_drain_that_outlasts_its_deadline_reports_what_was_cut_off() {
    let release = Arc::new(std::sync::Barrier::new(2));
    let entered = Arc::new(AtomicUsize::new(0));
    let server = start_http(1, {
        let (release, entered) = (Arc::clone(&release), Arc::clone(&entered));
        move |_: &mut Request| {
            entered.store(1, Ordering::SeqCst);
            release.wait();
            Response::text("late")
        }
    });
    let mut client = connect(addr(&server));
    client.write_all(GET).unwrap();
    until("the worker is busy", || entered.load(Ordering::SeqCst) == 1);
    let report = server.drain(Duration::from_millis(50));
    assert_eq!(report.cut_off, 1);
    release.wait();
}
