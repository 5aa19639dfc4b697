//! Bodies that nobody reads, that are streamed back, that fail half-way; and what keeps a connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millpond::http::{Body, Handler, HeaderValue, Request, Response, StatusCode};
use millpond::service::Hello;
use millpond::{CloseReason, Config, Handle, Server};

use crate::http_answer::{Answer, take_all};
use crate::support::{addr, connect, read_answer, until};

fn serve(handler: impl Handler) -> Handle {
    serve_with(Config::default(), handler)
}

/// With one worker, so that what it keeps of one connection would be seen in the next.
fn serve_with(mut config: Config, handler: impl Handler) -> Handle {
    config.pool.workers = 1;
    Server::builder()
        .config(config)
        .bind("tcp://127.0.0.1:0")
        .http(handler)
        .unwrap()
        .spawn()
        .unwrap()
}

fn rest(stream: &mut TcpStream) -> Vec<Answer> {
    let mut came = Vec::new();
    stream.read_to_end(&mut came).unwrap();
    take_all(&came).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&came)))
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_body_that_is_awaited_is_not_taken_from_another_client() {
    let server = serve(Hello);
    let mut first = connect(addr(&server));
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome").unwrap();
    assert_eq!(read_answer(&mut first).1, "Hello, world!");
    let mut second = connect(addr(&server));
    for _ in 0..3 {
        second.write_all(GET).unwrap();
        assert_eq!(read_answer(&mut second).1, "Hello, world!");
        first.write_all(&[b'x'; 32]).unwrap();
    }
    first.write_all(GET).unwrap();
    assert_eq!(read_answer(&mut first).1, "Hello, world!");
}

#[test]
fn a_body_that_is_too_much_to_throw_away_costs_the_connection_and_nothing_else() {
    let server = serve(Hello);
    for announced in [true, false] {
        let mut stream = connect(addr(&server));
        // What is known of its length comes with the head, so that the answer can say it.
        let framing = match announced {
            true => "Content-Length: 3000000\r\n\r\n",
            false => "Transfer-Encoding: chunked\r\n\r\n2dc6c0\r\n",
        };
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{framing}");
        stream.write_all(head.as_bytes()).unwrap();
        // All of it is taken in, so that the answer is not lost in a reset.
        stream.write_all(&vec![b'x'; 3_000_000]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answers = rest(&mut stream);
        assert_eq!(statuses(&answers), [200], "{framing}");
        // A chunked body may turn out too long only after the answer has gone.
        assert!(!announced || answers[0].connection_says("close"), "{framing}");
    }
}

#[test]
fn an_unread_body_that_turns_out_bad_after_the_answer_ends_the_connection_without_another() {
    let server = serve(Hello);
    let mut stream = connect(addr(&server));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut stream).1, "Hello, world!");
    stream.write_all(b"zz\r\n\r\n").unwrap();
    stream.write_all(GET).unwrap();
    assert_eq!(rest(&mut stream), Vec::new());
    until("it is counted", || server.stats().closed_for(CloseReason::BadRequest) == 1);
}

#[test]
fn an_unread_body_that_is_bad_already_makes_the_request_a_bad_one() {
    let server = serve(Hello);
    let mut stream = connect(addr(&server));
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n")
        .unwrap();
    stream.write_all(GET).unwrap();
    assert_eq!(statuses(&rest(&mut stream)), [400]);
}

/// Sends the body back as it comes, in each of the ways that there are.
fn stream_back(request: &mut Request) -> Response {
    let mut body = request.take_body();
    Response::new(match request.uri().path() {
        "/body" => body,
        "/reader" => Body::from_reader(body, None),
        "/writer" => Body::from_writer(move |out| io::copy(&mut body, out).map(drop)),
        "/rest" => {
            let mut first = [0; 2];
            body.read_exact(&mut first).unwrap();
            body
        }
        _ => Body::empty(),
    })
}

#[test]
fn a_body_is_streamed_back_while_it_comes() {
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
        let answers = rest(&mut stream);
        assert_eq!(statuses(&answers), [200], "{path}");
        assert!(answers[0].body == piece.repeat(50), "{path}: another body came back");
    }
}

#[test]
fn a_client_that_waits_to_send_is_told_to_before_the_answer_begins() {
    let server = serve(stream_back);
    for path in ["/body", "/reader", "/writer", "/rest"] {
        let mut stream = connect(addr(&server));
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        assert_eq!(read_answer(&mut stream).0, "HTTP/1.1 100 Continue\r\n\r\n", "{path}");
        stream.write_all(b"hello").unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let answers = rest(&mut stream);
        assert_eq!(statuses(&answers), [200, 200], "{path}");
        let expected: &[u8] = if path == "/rest" { b"llo" } else { b"hello" };
        assert_eq!(answers[0].body, expected, "{path}");
    }
}

#[test]
fn a_client_that_did_not_wait_is_not_told_to_send() {
    let server = serve(stream_back);
    let mut stream = connect(addr(&server));
    stream
        .write_all(
            b"POST /body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\
            Connection: close\r\n\r\nhello",
        )
        .unwrap();
    assert_eq!(statuses(&rest(&mut stream)), [200]);
}

#[test]
fn a_handler_that_refuses_a_body_beforehand_never_asks_for_it() {
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
    let answers = rest(&mut stream);
    assert_eq!(statuses(&answers), [413]);
    assert!(answers[0].connection_says("close"), "whether a body follows cannot be known");
}

#[test]
fn a_body_that_turns_out_bad_while_it_is_streamed_back_is_answered_if_it_still_can_be() {
    let server = serve(stream_back);
    for path in ["/body", "/reader", "/writer"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut stream = connect(addr(&server));
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(b"zz\r\n\r\n").unwrap();
        assert_eq!(statuses(&rest(&mut stream)), [400], "{path}");
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
        assert_eq!(take_all(&came), Err("a line without end".to_owned()), "{path}");
    }
    until("they are counted", || server.stats().closed_for(CloseReason::BadRequest) == 6);
}

#[test]
fn a_body_that_fails_or_panics_is_an_error_if_nothing_of_it_was_sent() {
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
        let answers = rest(&mut stream);
        assert_eq!(statuses(&answers), [500], "{path}");
        assert!(answers[0].connection_says("close"), "{path}");
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
        // The server has said its last word. Were it gone, this would be answered by a reset, and the
        // rest of the answer be lost.
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
        ("POST", 405),
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
