//! The table of requests against running servers: a program that uses the library, and `serve`.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use millpond::http::{HeaderName, Request, Response, header};
use millpond::{Config, Server};

use super::table::{Accept, CASES, Case, Expected};
use crate::support::response::{Answer, take_all};
use crate::support::{Daemon, Start, addr, connect};

/// What follows each request of the table on the same connection. A `close` is in it so that a
/// connection that was kept ends too.
const SECOND: &[u8] = b"GET /second HTTP/1.1\r\nHost: second\r\nConnection: close\r\n\r\n";

/// Answers with what it understood of the request: its fields each behind `saw-`, its body as it
/// is.
fn mirror(request: &mut Request) -> Response {
    let mut body = Vec::new();
    if let Err(error) = request.body_mut().read_to_end(&mut body) {
        return Response::from(error);
    }
    let mut answer = Response::new(body);
    let fields = answer.headers_mut();
    for (name, value) in request.headers() {
        let name: HeaderName = format!("saw-{name}").parse().unwrap();
        fields.append(name, value.clone());
    }
    fields.insert("saw-method", request.method().as_str().parse().unwrap());
    fields.insert("saw-target", request.uri().to_string().parse().unwrap());
    answer
}

/// Sends a request and the second one, ends the sending side, and takes what comes until the end.
fn answers(addr: SocketAddr, bytes: &[u8], second: &[u8]) -> Vec<Answer> {
    let mut stream = connect(addr);
    // A server that has seen enough may stop reading, and says why all the same.
    let _ = stream.write_all(&[bytes, second].concat());
    let _ = stream.shutdown(Shutdown::Write);
    let mut came = Vec::new();
    stream.read_to_end(&mut came).unwrap();
    let mut answers = take_all(&came).unwrap_or_else(|error| panic!("{error}: {came:?}"));
    answers.retain(|answer| answer.status != 100);
    answers
}

/// Runs every case that `wanted` is true of, several at a time.
fn run(wanted: fn(&Case) -> bool, check: impl Fn(&Case) + Sync) -> usize {
    let cases: Vec<&Case> = CASES.iter().copied().flatten().filter(|case| wanted(case)).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(case);
                }
            });
        }
    });
    cases.len()
}

fn is_refused(case: &Case) -> bool {
    matches!(case.expected, Expected::Refuse(_))
}

fn check_accepted(accept: &Accept, answers: &[Answer], case: &str) {
    let [answer, rest @ ..] = answers else { panic!("{case}: no answer") };
    assert_eq!(answer.status, 200, "{case}");
    if accept.method == "HEAD" {
        return;
    }
    let saw = |name: &str| answer.field(&format!("saw-{name}"));
    assert_eq!(saw("method"), Some(accept.method.as_bytes()), "{case}");
    if !accept.target.is_empty() {
        assert_eq!(saw("target"), Some(accept.target.as_bytes()), "{case}");
    }
    assert_eq!(saw("host"), accept.host.map(str::as_bytes), "{case}");
    if let Some((name, value)) = accept.field {
        assert_eq!(saw(name), Some(value), "{case}");
    }
    assert_eq!(answer.body, accept.body, "{case}");
    assert_eq!(answer.connection_says("close"), !accept.keep_alive, "{case}");
    match (accept.keep_alive, rest) {
        (true, [second]) => {
            let target = second.field("saw-target");
            assert_eq!(target, Some(&b"/second"[..]), "{case}: the second request");
        }
        (false, []) => {}
        _ => panic!("{case}: then came {rest:?}"),
    }
}

fn check_refused(answers: &[Answer], case: &str) -> u16 {
    let [answer] = answers else { panic!("{case}: {answers:?}") };
    assert!(answer.connection_says("close"), "{case}: {answer:?}");
    assert!(answer.field("date").is_some(), "{case}: {answer:?}");
    assert_eq!(answer.field("content-type"), Some(&b"text/plain; charset=utf-8"[..]), "{case}");
    assert!(!answer.body.is_empty() && answer.body.len() < 200, "{case}: {answer:?}");
    answer.status
}

#[test]
fn every_request_of_the_table_has_its_outcome_on_a_running_server() {
    let seconds = Arc::new(AtomicUsize::new(0));
    let mut config = Config::default();
    config.pool.workers = 4;
    let server = Server::builder()
        .config(config)
        .bind("tcp://127.0.0.1:0")
        .http({
            let seconds = Arc::clone(&seconds);
            move |request: &mut Request| {
                let is_second = request.headers().get(header::HOST).is_some_and(|h| h == "second");
                seconds.fetch_add(usize::from(is_second), Ordering::SeqCst);
                mirror(request)
            }
        })
        .unwrap()
        .start()
        .unwrap();
    let addr = addr(&server);
    let kept = run(
        |case| matches!(&case.expected, Expected::Accept(accept) if ends_in_http(accept)),
        |case| {
            let Expected::Accept(accept) = &case.expected else { return };
            let name = format!("{} ({})", case.name, case.rfc);
            if accept.method == "HEAD" {
                let bytes = case.raw.bytes();
                let mut stream = connect(addr);
                stream.write_all(&bytes).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut came = Vec::new();
                stream.read_to_end(&mut came).unwrap();
                assert!(came.starts_with(b"HTTP/1.1 200 OK\r\n"), "{name}");
                assert!(came.ends_with(b"\r\n\r\n"), "{name}");
                seconds.fetch_add(1, Ordering::SeqCst);
                return;
            }
            check_accepted(accept, &answers(addr, &case.raw.bytes(), SECOND), &name);
            seconds.fetch_add(usize::from(!accept.keep_alive), Ordering::SeqCst);
        },
    );
    // Each of them had its second request, or is counted in its place.
    assert_eq!(seconds.swap(0, Ordering::SeqCst), kept);
    let refused = run(is_refused, |case| {
        let Expected::Refuse(status) = case.expected else { return };
        let name = format!("{} ({})", case.name, case.rfc);
        let answered = check_refused(&answers(addr, &case.raw.bytes(), SECOND), &name);
        assert_eq!(answered, status, "{name}");
    });
    assert_eq!(seconds.load(Ordering::SeqCst), 0, "a request after a refused one was served");
    assert!(kept + refused >= 330, "{kept} {refused}");
}

/// CONNECT is answered like any other method here, but ends the connection.
fn ends_in_http(accept: &Accept) -> bool {
    accept.method != "CONNECT"
}

#[test]
fn serve_refuses_what_the_table_refuses() {
    let daemon = Daemon::start(&["-b", "tcp://127.0.0.1:0"]);
    let addr = daemon.addr();
    run(is_refused, |case| {
        let Expected::Refuse(status) = case.expected else { return };
        let name = format!("{} ({})", case.name, case.rfc);
        let answers = answers(addr, &case.raw.bytes(), SECOND);
        assert_eq!(check_refused(&answers, &name), status, "{name}");
    });
}
