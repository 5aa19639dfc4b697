//! Answers to each kind of request, and how a connection ends with one.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millpond::Config;
use millpond::handlers::Hello;
use millpond::http::{Body, HeaderValue, Request, Response};

use super::common::{GET, rest, serve, serve_with, statuses, stream_back};
use crate::support::response::take_all;
use crate::support::{addr, connect, read_answer, until};

#[test]
fn head_has_the_fields_of_get_and_never_a_body() {
    let server = serve(|request: &mut Request| match request.uri().path() {
        "/written" => Response::new(Body::from_writer(|_| panic!("nobody wants it"))),
        "/read" => Response::new(Body::from_reader(&b"12345"[..], Some(5))),
        _ => Response::text("12345"),
    });
    let mut stream = connect(addr(&server));
    for (path, length) in [("/written", None), ("/read", Some("5")), ("/", Some("5"))] {
        stream.write_all(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let field = length.map(|length| format!("\r\nContent-Length: {length}\r\n"));
        assert!(field.is_none_or(|field| head.contains(&field)), "{head}");
    }
    // Nor has the answer to a HEAD that is refused.
    for bad in ["HEAD / HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"] {
        let mut stream = connect(addr(&server));
        stream.write_all(bad.as_bytes()).unwrap();
        let mut came = String::new();
        stream.read_to_string(&mut came).unwrap();
        assert!(came.starts_with("HTTP/1.1 4") && came.ends_with("\r\n\r\n"), "{came}");
    }
}

#[test]
fn half_a_head_is_answered_when_the_client_ends_or_is_too_slow() {
    let mut config = Config::default();
    config.timeouts.head = Duration::from_millis(100);
    let server = serve_with(config, Hello);
    let mut ended = connect(addr(&server));
    ended.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    ended.shutdown(Shutdown::Write).unwrap();
    let answers = rest(&mut ended);
    assert_eq!(statuses(&answers), [400]);
    let mut slow = connect(addr(&server));
    slow.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    let answers = rest(&mut slow);
    assert_eq!(statuses(&answers), [408]);
    assert!(answers[0].field("date").is_some() && answers[0].connection_says("close"));
}

#[test]
fn http_1_0_is_answered_in_its_own_way() {
    let server = serve(stream_back);
    // A body of unknown length ends with the connection, and is never chunked.
    let mut stream = connect(addr(&server));
    stream
        .write_all(
            b"POST /writer HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        )
        .unwrap();
    let answers = rest(&mut stream);
    assert!(answers[0].until_close && answers[0].connection_says("close"), "{answers:?}");
    assert_eq!(answers[0].body, b"hi");
    // One of known length keeps it, if that was asked for.
    let mut stream = connect(addr(&server));
    let post = b"POST /body HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi";
    stream.write_all(post).unwrap();
    assert!(read_answer(&mut stream).0.contains("\r\nConnection: keep-alive\r\n"));
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(rest(&mut stream)[0].connection_says("close"));
}

#[test]
fn what_the_server_says_of_the_framing_is_not_the_handlers_to_set() {
    let server = serve(|_: &mut Request| {
        let mut answer = Response::text("12345");
        for (name, value) in [
            ("content-length", "7"),
            ("transfer-encoding", "chunked"),
            ("connection", "keep-alive, x"),
            ("keep-alive", "timeout=5"),
            ("date", "never"),
        ] {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    });
    let mut stream = connect(addr(&server));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let answers = rest(&mut stream);
    let field = |name| answers[0].field(name);
    assert_eq!(field("content-length"), Some(&b"5"[..]));
    assert_eq!(field("connection"), Some(&b"close"[..]));
    assert!(field("transfer-encoding").is_none() && field("keep-alive").is_none());
    assert!(field("date").unwrap().ends_with(b" GMT"));
}

#[test]
fn a_tunnel_that_nobody_digs_ends_the_connection() {
    let server = serve(|_: &mut Request| Response::text("as you wish"));
    let mut stream = connect(addr(&server));
    stream.write_all(&[b"CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", GET].concat()).unwrap();
    let mut came = String::new();
    stream.read_to_string(&mut came).unwrap();
    assert!(came.starts_with("HTTP/1.1 200 OK\r\n") && came.ends_with("\r\n\r\n"), "{came}");
    assert!(!came.contains("Content-Length") && !came.contains("Transfer-Encoding"), "{came}");
    assert_eq!(came.matches("HTTP/1.1").count(), 1, "{came}");
}

#[test]
fn an_answer_that_ends_the_connection_reaches_a_client_that_sends_on() {
    let mut config = Config::default();
    config.limits.requests = Some(1);
    let server = serve_with(config, Hello);
    let last = GET.to_vec();
    let bad = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    for (request, status) in [(last, 200), (bad, 400)] {
        let mut stream = connect(addr(&server));
        stream.write_all(&request).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        // The server has said its last word. Were it gone, this would be answered by a reset, and
        // the rest of the answer be lost.
        for _ in 0..20 {
            stream.write_all(GET).unwrap();
        }
        let mut came = first.to_vec();
        stream.read_to_end(&mut came).unwrap();
        let answers = take_all(&came).unwrap();
        assert_eq!(statuses(&answers), [status]);
        assert!(answers[0].connection_says("close"));
    }
}

#[test]
fn hello_answers_each_method_as_it_should_be() {
    let server = serve(Hello);
    for (method, status) in [
        ("GET", 200),
        ("OPTIONS", 204),
        ("POST", 200),
        ("PUT", 405),
        ("DELETE", 405),
        ("PATCH", 405),
        ("TRACE", 405),
        ("get", 501),
        ("BREW", 501),
    ] {
        let mut stream = connect(addr(&server));
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let answers = rest(&mut stream);
        assert_eq!(statuses(&answers), [status], "{method}");
        let tells = matches!(status, 204 | 405);
        assert_eq!(answers[0].field("allow").is_some(), tells, "{method}");
    }
    let mut stream = connect(addr(&server));
    stream.write_all(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(statuses(&rest(&mut stream)), [204]);
}

#[test]
fn a_large_answer_in_memory_holds_no_worker_while_its_reader_sleeps() {
    let done = Arc::new(AtomicUsize::new(0));
    let server = serve({
        let done = Arc::clone(&done);
        move |request: &mut Request| {
            done.fetch_add(1, Ordering::SeqCst);
            match request.uri().path() {
                // More than the sockets of both sides hold.
                "/large" => Response::new(vec![b'x'; 16 << 20]),
                _ => Response::text("quick"),
            }
        }
    });
    let mut slow = connect(addr(&server));
    slow.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    until("the handler has run", || done.load(Ordering::SeqCst) == 1);
    let mut quick = connect(addr(&server));
    quick.write_all(GET).unwrap();
    assert_eq!(read_answer(&mut quick).1, "quick");
    assert_eq!(rest(&mut slow)[0].body.len(), 16 << 20);
}
