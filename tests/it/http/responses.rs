//! Responses to each kind of request, and how a connection ends with one.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millpond::Config;
use millpond::handlers::Hello;
use millpond::http::{Body, HeaderValue, Request, Response};

use super::common::{GET, serve, serve_with, stream_back};
use crate::support::{
    addr, connect, exchange, read_head, read_last_head, read_last_response, read_response,
    read_responses, statuses, until,
};

#[test]
fn head_has_the_fields_of_get_and_never_a_body() {
    let server = serve(|request: &mut Request| match request.uri().path() {
        "/written" => Response::new(Body::from_writer(|_| panic!("HEAD has no body"))),
        "/read" => Response::new(Body::from_reader(&b"12345"[..], Some(5))),
        _ => Response::text("12345"),
    });
    let mut stream = connect(addr(&server));
    for (path, length) in [("/written", None), ("/read", Some("5")), ("/", Some("5"))] {
        stream.write_all(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let head = read_head(&mut stream);
        assert_eq!((head.status, head.field("content-length")), (200, length), "{path}");
    }
    // Nor has the response to a HEAD that is refused.
    for bad in ["HEAD / HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"] {
        let status = exchange(addr(&server), bad.as_bytes()).status;
        assert!((400..500).contains(&status), "{status}");
    }
}

#[test]
fn half_a_head_gets_a_400_at_its_end_and_a_408_when_too_slow() {
    let mut config = Config::default();
    config.timeouts.head = Duration::from_millis(100);
    let server = serve_with(config, Hello);
    let mut ended = connect(addr(&server));
    ended.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    ended.shutdown(Shutdown::Write).unwrap();
    let responses = read_responses(&mut ended);
    assert_eq!(statuses(&responses), [400]);
    let mut slow = connect(addr(&server));
    slow.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    let responses = read_responses(&mut slow);
    assert_eq!(statuses(&responses), [408]);
    assert!(responses[0].field("date").is_some() && responses[0].has_connection_option("close"));
}

#[test]
fn http_1_0_gets_responses_without_chunks() {
    let server = serve(stream_back);
    // A body of unknown length ends with the connection, and is never chunked.
    let mut stream = connect(addr(&server));
    stream
        .write_all(
            b"POST /writer HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        )
        .unwrap();
    let responses = read_responses(&mut stream);
    assert!(
        responses[0].until_close && responses[0].has_connection_option("close"),
        "{responses:?}"
    );
    assert_eq!(responses[0].body, b"hi");
    // One of known length keeps it, if that was asked for.
    let mut stream = connect(addr(&server));
    let post = b"POST /body HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi";
    stream.write_all(post).unwrap();
    assert!(read_response(&mut stream).has_connection_option("keep-alive"));
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(read_responses(&mut stream)[0].has_connection_option("close"));
}

#[test]
fn a_handler_cannot_set_the_fields_of_the_framing() {
    let server = serve(|_: &mut Request| {
        let mut response = Response::text("12345");
        for (name, value) in [
            ("content-length", "7"),
            ("transfer-encoding", "chunked"),
            ("connection", "keep-alive, x"),
            ("keep-alive", "timeout=5"),
            ("date", "never"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    });
    let mut stream = connect(addr(&server));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let responses = read_responses(&mut stream);
    let field = |name| responses[0].field(name);
    assert_eq!(field("content-length"), Some("5"));
    assert_eq!(field("connection"), Some("close"));
    assert!(field("transfer-encoding").is_none() && field("keep-alive").is_none());
    assert!(field("date").unwrap().ends_with(" GMT"));
}

#[test]
fn a_connect_request_gets_a_response_without_a_body_and_a_closed_connection() {
    let server = serve(|_: &mut Request| Response::text("as you wish"));
    let mut stream = connect(addr(&server));
    stream.write_all(&[b"CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", GET].concat()).unwrap();
    // RFC 9110 §9.3.6: no framing in the response, and nothing behind it.
    let response = read_last_head(&mut stream);
    assert_eq!(response.status, 200);
    let framing = ["content-length", "transfer-encoding"].map(|name| response.field(name));
    assert_eq!(framing, [None, None]);
}

#[test]
fn a_last_response_reaches_a_client_that_keeps_sending() {
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
        // the rest of the response be lost.
        for _ in 0..20 {
            stream.write_all(GET).unwrap();
        }
        let response = read_last_response(&mut first.chain(&mut stream));
        assert_eq!(response.status, status);
        assert!(response.has_connection_option("close"));
    }
}

#[test]
fn hello_responds_to_each_method_with_its_status() {
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
        let responses = read_responses(&mut stream);
        assert_eq!(statuses(&responses), [status], "{method}");
        let lists_methods = matches!(status, 204 | 405);
        assert_eq!(responses[0].field("allow").is_some(), lists_methods, "{method}");
    }
    let mut stream = connect(addr(&server));
    stream.write_all(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(statuses(&read_responses(&mut stream)), [204]);
}

#[test]
fn a_large_response_in_memory_holds_no_worker_while_its_reader_sleeps() {
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
    assert_eq!(read_response(&mut quick).text(), "quick");
    assert_eq!(read_responses(&mut slow)[0].body.len(), 16 << 20);
}
