//! Bodies that the handler does not read, echoes, or fails to produce.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use millpond::handlers::Hello;
use millpond::http::{Body, Handler, Request, Response, StatusCode};
use millpond::{CloseReason, Config};

use super::common::{GET, serve, serve_with, stream_back};
use crate::support::{addr, connect, read_response, read_responses, response, statuses, until};

/// No body is awaited before its handler is called.
fn as_it_comes() -> Config {
    let mut config = Config::default();
    config.limits.read_ahead = 0;
    config
}

#[test]
fn a_body_that_is_awaited_is_not_taken_from_another_client() {
    let server = serve_with(as_it_comes(), Hello);
    let mut first = connect(addr(&server));
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nsome";
    first.write_all(head).unwrap();
    assert_eq!(read_response(&mut first).text(), "Hello, world!");
    let mut second = connect(addr(&server));
    for _ in 0..3 {
        second.write_all(GET).unwrap();
        assert_eq!(read_response(&mut second).text(), "Hello, world!");
        first.write_all(&[b'x'; 32]).unwrap();
    }
    first.write_all(b"\r\n0\r\n\r\n").unwrap();
    first.write_all(GET).unwrap();
    assert_eq!(read_response(&mut first).text(), "Hello, world!");
}

#[test]
fn an_unread_body_too_long_to_discard_costs_only_the_connection() {
    let server = serve(Hello);
    for announced in [true, false] {
        let mut stream = connect(addr(&server));
        // What is known of its length comes with the head, so that the response can say it.
        let framing = match announced {
            true => "Content-Length: 3000000\r\n\r\n",
            false => "Transfer-Encoding: chunked\r\n\r\n2dc6c0\r\n",
        };
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{framing}");
        stream.write_all(head.as_bytes()).unwrap();
        // All of it is taken in, so that the response is not lost in a reset.
        stream.write_all(&vec![b'x'; 3_000_000]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let responses = read_responses(&mut stream);
        assert_eq!(statuses(&responses), [200], "{framing}");
        // A chunked body may turn out too long only after the response has gone.
        assert!(!announced || responses[0].has_connection_option("close"), "{framing}");
    }
}

#[test]
fn an_unread_body_found_malformed_after_the_response_closes_the_connection() {
    let server = serve_with(as_it_comes(), Hello);
    let mut stream = connect(addr(&server));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut stream).text(), "Hello, world!");
    stream.write_all(b"zz\r\n\r\n").unwrap();
    stream.write_all(GET).unwrap();
    assert_eq!(read_responses(&mut stream), Vec::new());
    until("it is counted", || server.stats().closed_for(CloseReason::BadRequest) == 1);
}

#[test]
fn an_unread_body_that_is_malformed_from_the_start_gets_a_400() {
    let server = serve(Hello);
    let mut stream = connect(addr(&server));
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n")
        .unwrap();
    stream.write_all(GET).unwrap();
    assert_eq!(statuses(&read_responses(&mut stream)), [400]);
}

#[test]
fn a_body_is_echoed_while_it_arrives() {
    let server = serve(stream_back);
    for path in ["/body", "/reader", "/writer"] {
        let mut stream = connect(addr(&server));
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let piece = vec![b'x'; 20_000];
        for _ in 0..50 {
            stream.write_all(b"4e20\r\n").unwrap();
            stream.write_all(&piece).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let responses = read_responses(&mut stream);
        assert_eq!(statuses(&responses), [200], "{path}");
        assert!(responses[0].body == piece.repeat(50), "{path}: another body came back");
    }
}

#[test]
fn a_100_continue_is_sent_before_the_response_begins() {
    let server = serve(stream_back);
    for path in ["/body", "/reader", "/writer", "/rest"] {
        let mut stream = connect(addr(&server));
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let interim = read_response(&mut stream);
        assert_eq!((interim.status, interim.fields), (100, Vec::new()), "{path}");
        stream.write_all(b"hello").unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let responses = read_responses(&mut stream);
        assert_eq!(statuses(&responses), [200, 200], "{path}");
        let expected: &[u8] = if path == "/rest" { b"llo" } else { b"hello" };
        assert_eq!(responses[0].body, expected, "{path}");
    }
}

#[test]
fn a_client_that_sent_its_body_already_gets_no_100_continue() {
    let server = serve(stream_back);
    let mut stream = connect(addr(&server));
    stream
        .write_all(
            b"POST /body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\
            Connection: close\r\n\r\nhello",
        )
        .unwrap();
    assert_eq!(statuses(&read_responses(&mut stream)), [200]);
}

#[test]
fn a_handler_that_refuses_an_expected_body_sends_no_100_continue() {
    struct Picky;
    impl Handler for Picky {
        fn handle(&self, request: &mut Request) -> Response {
            stream_back(request)
        }

        fn expect_continue(&self, request: &Request) -> Option<Response> {
            let large = request.body().length().is_some_and(|length| length > 10);
            large.then(|| Response::error(StatusCode::PAYLOAD_TOO_LARGE))
        }
    }
    let server = serve(Picky);
    let mut stream = connect(addr(&server));
    stream
        .write_all(
            b"POST /body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n",
        )
        .unwrap();
    let responses = read_responses(&mut stream);
    assert_eq!(statuses(&responses), [413]);
    assert!(responses[0].has_connection_option("close"), "whether a body follows cannot be known");
}

#[test]
fn a_malformed_body_gets_a_400_unless_the_response_has_begun() {
    let server = serve(stream_back);
    for path in ["/body", "/reader", "/writer"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut stream = connect(addr(&server));
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(b"zz\r\n\r\n").unwrap();
        assert_eq!(statuses(&read_responses(&mut stream)), [400], "{path}");
        // Later it can only be cut short, so that the client notices.
        let mut stream = connect(addr(&server));
        stream.write_all(head.as_bytes()).unwrap();
        for _ in 0..2 {
            stream.write_all(b"9c40\r\n").unwrap();
            stream.write_all(&vec![b'x'; 40_000]).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"zz\r\n\r\n").unwrap();
        let mut came = Vec::new();
        stream.read_to_end(&mut came).unwrap();
        assert!(came.starts_with(b"HTTP/1.1 200 OK\r\n"), "{path}");
        let error = response::read(&mut &came[..], false).unwrap_err();
        assert_eq!(error, "a missing line", "{path}");
    }
    until("they are counted", || server.stats().closed_for(CloseReason::BadRequest) == 6);
}

#[test]
fn a_response_body_that_fails_or_panics_before_its_first_byte_is_a_500() {
    let server = serve(|request: &mut Request| {
        let late = request.uri().query() == Some("late");
        let panics = request.uri().path() == "/panic";
        Response::new(Body::from_writer(move |out| {
            out.write_all(b"so far")?;
            if late {
                out.flush()?;
            }
            assert!(!panics, "as the test wants it");
            Err(io::ErrorKind::Other.into())
        }))
    });
    for path in ["/fail", "/panic"] {
        let mut stream = connect(addr(&server));
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let responses = read_responses(&mut stream);
        assert_eq!(statuses(&responses), [500], "{path}");
        assert!(responses[0].has_connection_option("close"), "{path}");
        let mut stream = connect(addr(&server));
        let get = format!("GET {path}?late HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(get.as_bytes()).unwrap();
        let mut came = Vec::new();
        stream.read_to_end(&mut came).unwrap();
        assert!(came.ends_with(b"6\r\nso far\r\n"), "{path}: {}", came.escape_ascii());
    }
    until("they are counted", || {
        let stats = server.stats();
        stats.closed_for(CloseReason::HandlerFailed) == 2
            && stats.closed_for(CloseReason::HandlerPanicked) == 2
    });
    assert_eq!(server.stats().panics, 2);
}

#[test]
fn only_errors_of_the_client_become_4xx() {
    let server = serve(|request: &mut Request| match request.uri().path() {
        // What a client of another server may give, and a file that is shorter than it was.
        "/upstream" => Response::from(io::Error::from(io::ErrorKind::TimedOut)),
        "/file" => Response::from((&b"short"[..]).read_exact(&mut [0; 10]).unwrap_err()),
        "/garbled" => Response::from(io::Error::new(io::ErrorKind::InvalidData, "garbled")),
        _ => match request.body_mut().read_text(5) {
            Ok(text) => Response::text(text),
            Err(error) => Response::from(error),
        },
    });
    for path in ["/upstream", "/file", "/garbled"] {
        let mut stream = connect(addr(&server));
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        assert_eq!(statuses(&read_responses(&mut stream)), [500], "{path}");
    }
    for (fields, body, expected) in [
        ("Content-Length: 5", &b"hello"[..], 200),
        ("Content-Length: 6\r\nExpect: 100-continue", b"", 413),
        ("Content-Length: 6", b"hello!", 413),
        ("Transfer-Encoding: chunked", b"6\r\nhello!\r\n0\r\n\r\n", 413),
        ("Transfer-Encoding: chunked", b"5\r\nhel", 400),
        ("Content-Length: 1", b"\xff", 400),
    ] {
        let mut stream = connect(addr(&server));
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(statuses(&read_responses(&mut stream)), [expected], "{fields}");
    }
}
