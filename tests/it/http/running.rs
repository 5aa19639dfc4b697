//! The table of requests against running servers: a program that uses the library, and `serve`.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use millpond::Config;
use millpond::http::{HeaderName, Request, Response, header};

use super::table::{Accept, CASES, Case, Expected};
use crate::support::daemon::Daemon;
use crate::support::response::Response as Received;
use crate::support::tls::{TlsClient, start_https_with};
use crate::support::{addr, connect, read_last_head, read_responses, start_http_with};

/// What follows each request of the table on the same connection. A `close` is in it so that a
/// connection that was kept ends too.
const SECOND: &[u8] = b"GET /second HTTP/1.1\r\nHost: second\r\nConnection: close\r\n\r\n";

/// Responds with what it understood of the request: its fields each behind `saw-`, its body as it
/// is.
fn mirror(request: &mut Request) -> Response {
    let mut body = Vec::new();
    if let Err(error) = request.body_mut().read_to_end(&mut body) {
        return Response::from(error);
    }
    let mut response = Response::new(body);
    let fields = response.headers_mut();
    for (name, value) in request.headers() {
        let name: HeaderName = format!("saw-{name}").parse().unwrap();
        fields.append(name, value.clone());
    }
    fields.insert("saw-method", request.method().as_str().parse().unwrap());
    fields.insert("saw-target", request.uri().to_string().parse().unwrap());
    response
}

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Plain,
    Tls,
}

impl Way {
    /// Sends a request and the second one, ends the sending side, and reads responses until the
    /// end.
    fn responses(self, addr: SocketAddr, bytes: &[u8], second: &[u8]) -> Vec<Received> {
        let bytes = [bytes, second].concat();
        // A server that has seen enough may stop reading, and still says why.
        let mut responses = match self {
            Self::Plain => {
                let mut stream = connect(addr);
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(Shutdown::Write);
                read_responses(&mut stream)
            }
            Self::Tls => {
                let mut stream = TlsClient::connect(addr);
                let _ = stream.write_all(&bytes);
                stream.end();
                read_responses(&mut stream)
            }
        };
        responses.retain(|response| response.status != 100);
        responses
    }

    /// The status of the response to a HEAD request.
    fn status_of_head(self, addr: SocketAddr, bytes: &[u8]) -> u16 {
        match self {
            Self::Plain => {
                let mut stream = connect(addr);
                stream.write_all(bytes).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                read_last_head(&mut stream).status
            }
            Self::Tls => {
                let mut stream = TlsClient::connect(addr);
                stream.write_all(bytes).unwrap();
                stream.end();
                read_last_head(&mut stream).status
            }
        }
    }

    /// With TLS, the schemes of absolute targets change places: the table is about plain
    /// connections.
    fn of_scheme(self, bytes: &[u8]) -> Vec<u8> {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let Some(line) = std::str::from_utf8(&bytes[..end]).ok().filter(|_| self == Self::Tls)
        else {
            return bytes.to_vec();
        };
        let line = match line.to_ascii_lowercase().contains(" https://") {
            true => line.replacen("s://", "://", 1).replacen("S://", "://", 1),
            false => line.replacen(" http://", " https://", 1).replacen(" HTTP://", " HTTPS://", 1),
        };
        [line.as_bytes(), &bytes[end..]].concat()
    }

    fn target(self, accept: &Accept) -> String {
        match self {
            Self::Plain => accept.target.to_owned(),
            Self::Tls if accept.target.starts_with("http://") => {
                accept.target.replacen("http", "https", 1)
            }
            Self::Tls => accept.target.to_owned(),
        }
    }
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

fn check_accepted(accept: &Accept, target: &str, responses: &[Received], case: &str) {
    let [response, rest @ ..] = responses else { panic!("{case}: no response") };
    assert_eq!(response.status, 200, "{case}");
    if accept.method == "HEAD" {
        return;
    }
    let saw = |name: &str| response.field_bytes(&format!("saw-{name}"));
    assert_eq!(saw("method"), Some(accept.method.as_bytes()), "{case}");
    if !accept.target.is_empty() {
        assert_eq!(saw("target"), Some(target.as_bytes()), "{case}");
    }
    assert_eq!(saw("host"), accept.host.map(str::as_bytes), "{case}");
    if let Some((name, value)) = accept.field {
        assert_eq!(saw(name), Some(value), "{case}");
    }
    assert_eq!(response.body, accept.body, "{case}");
    assert_eq!(response.has_connection_option("close"), !accept.keep_alive, "{case}");
    match (accept.keep_alive, rest) {
        (true, [second]) => {
            let target = second.field("saw-target");
            assert_eq!(target, Some("/second"), "{case}: the second request");
        }
        (false, []) => {}
        _ => panic!("{case}: then {rest:?}"),
    }
}

fn check_refused(responses: &[Received], case: &str) -> u16 {
    let [response] = responses else { panic!("{case}: {responses:?}") };
    assert!(response.has_connection_option("close"), "{case}: {response:?}");
    assert!(response.field("date").is_some(), "{case}: {response:?}");
    assert_eq!(response.field("content-type"), Some("text/plain; charset=utf-8"), "{case}");
    assert!(!response.body.is_empty() && response.body.len() < 200, "{case}: {response:?}");
    response.status
}

#[test]
fn every_request_of_the_table_has_its_outcome_on_a_running_server() {
    check_table(Way::Plain);
}

#[test]
fn every_request_of_the_table_has_its_outcome_over_tls() {
    check_table(Way::Tls);
}

fn check_table(way: Way) {
    let seconds = Arc::new(AtomicUsize::new(0));
    let mut config = Config::default();
    config.pool.workers = 4;
    let handler = {
        let seconds = Arc::clone(&seconds);
        move |request: &mut Request| {
            let is_second = request.headers().get(header::HOST).is_some_and(|h| h == "second");
            seconds.fetch_add(usize::from(is_second), Ordering::SeqCst);
            mirror(request)
        }
    };
    let server = match way {
        Way::Plain => start_http_with(config, handler),
        Way::Tls => start_https_with(config, handler),
    };
    let addr = addr(&server);
    let kept = run(
        |case| matches!(&case.expected, Expected::Accept(accept) if ends_in_http(accept)),
        |case| {
            let Expected::Accept(accept) = &case.expected else { return };
            let name = format!("{} ({})", case.name, case.rfc);
            let bytes = way.of_scheme(&case.raw.bytes());
            if accept.method == "HEAD" {
                assert_eq!(way.status_of_head(addr, &bytes), 200, "{name}");
                seconds.fetch_add(1, Ordering::SeqCst);
                return;
            }
            let responses = way.responses(addr, &bytes, SECOND);
            check_accepted(accept, &way.target(accept), &responses, &name);
            seconds.fetch_add(usize::from(!accept.keep_alive), Ordering::SeqCst);
        },
    );
    // Each of them had its second request, or is counted in its place.
    assert_eq!(seconds.swap(0, Ordering::SeqCst), kept);
    let refused = run(is_refused, |case| {
        let Expected::Refuse(status) = case.expected else { return };
        let name = format!("{} ({})", case.name, case.rfc);
        let bytes = way.of_scheme(&case.raw.bytes());
        let received = check_refused(&way.responses(addr, &bytes, SECOND), &name);
        assert_eq!(received, status, "{name}");
    });
    assert_eq!(seconds.load(Ordering::SeqCst), 0, "a request after a refused one was served");
    assert!(kept + refused >= 330, "{kept} {refused}");
}

/// CONNECT gets a response like any other method here, but ends the connection.
fn ends_in_http(accept: &Accept) -> bool {
    accept.method != "CONNECT"
}

#[test]
fn serve_refuses_what_the_table_refuses() {
    let mut daemon = Daemon::serve(&[]);
    let addr = daemon.addr();
    run(is_refused, |case| {
        let Expected::Refuse(status) = case.expected else { return };
        let name = format!("{} ({})", case.name, case.rfc);
        let responses = Way::Plain.responses(addr, &case.raw.bytes(), SECOND);
        assert_eq!(check_refused(&responses, &name), status, "{name}");
    });
}
