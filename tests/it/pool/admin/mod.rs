//! The admin endpoint of a server in this process.

mod status;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use millpond::http::{Request, Response as HandlerResponse};
use millpond::{AdminCommand, Builder, ErrorKind, Handle, Server};

use crate::support::response::Response;
use crate::support::{
    Gate, PATIENCE, Start, TestServer, addr, connect, exchange, read_last_response, until,
};

const TOKEN: &str = "a-token-of-some-length";

fn builder() -> Builder {
    Server::builder()
        .bind("tcp://127.0.0.1:0")
        .workers(2)
        .admin("tcp://127.0.0.1:0")
        .http(|_: &mut Request| HandlerResponse::text("Hello"))
}

fn start(builder: Builder) -> TestServer {
    builder.build().unwrap().start().unwrap()
}

fn admin(handle: &Handle) -> SocketAddr {
    handle.admin_endpoint().unwrap().strip_prefix("tcp://").unwrap().parse().unwrap()
}

/// A request for this path, with these further lines.
fn ask(handle: &Handle, method: &str, path: &str, fields: &str) -> Response {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    exchange(admin(handle), request.as_bytes())
}

fn get(handle: &Handle, path: &str) -> Response {
    ask(handle, "GET", path, "")
}

#[test]
fn health_is_reported_and_every_response_is_protected() {
    let server = start(builder());
    for (path, text) in [("/live", "live\n"), ("/ready", "ready\n")] {
        let response = get(&server, path);
        assert_eq!((response.status, response.text()), (200, text));
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("connection", "close"),
        ] {
            assert_eq!(response.field(name), Some(value), "{path}");
        }
        assert!(response.field("content-security-policy").is_some_and(|csp| csp.contains("none")));
        assert_eq!(response.field("access-control-allow-origin"), None);
    }
    assert_eq!(get(&server, "/nowhere").status, 404);
    let response = ask(&server, "HEAD", "/live", "");
    assert_eq!((response.status, response.field("content-length")), (200, Some("5")));
    let response = ask(&server, "POST", "/live", "Content-Length: 0\r\n");
    assert_eq!((response.status, response.field("allow")), (405, Some("GET, HEAD")));
    let response = get(&server, "/drain");
    assert_eq!((response.status, response.field("allow")), (405, Some("POST")));
}

#[test]
fn requests_of_foreign_hosts_and_pages_are_refused() {
    let server = start(builder());
    let of_host = |host: &str| {
        let request = format!("GET /live HTTP/1.1\r\nHost: {host}\r\n\r\n");
        exchange(admin(&server), request.as_bytes()).status
    };
    for host in ["localhost", "127.0.0.1:9901", "127.1.2.3", "[::1]:80"] {
        assert_eq!(of_host(host), 200, "{host}");
    }
    for host in ["example.org", "localhost.example.org", "10.0.0.1", "[::2]"] {
        assert_eq!(of_host(host), 421, "{host}");
    }
    // The host of the target replaces the field.
    let absolute = b"GET http://example.org/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(exchange(admin(&server), absolute).status, 421);
    for field in [
        "Origin: http://localhost\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n",
    ] {
        assert_eq!(ask(&server, "GET", "/live", field).status, 403, "{field}");
    }
    for field in ["Sec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n"] {
        assert_eq!(ask(&server, "GET", "/live", field).status, 200, "{field}");
    }
    assert_eq!(server.stats().accepted, 0, "none of them is a connection of the server");
}

#[test]
fn a_public_endpoint_is_wanted_explicitly_and_serves_any_host() {
    for endpoint in ["tcp://0.0.0.0:0", "tcp://[::]:0", ":0", "tcp://example.org:1"] {
        let error = builder().admin(endpoint).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{endpoint}");
        assert!(error.to_string().contains("is not a loopback address"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("--admin-public")));
    }
    for endpoint in ["udp://127.0.0.1:0", "unixgram:@a", "unixpacket:@a", "fd:0"] {
        let error = builder().admin(endpoint).check().unwrap_err();
        assert!(error.to_string().contains("invalid admin endpoint"), "{error}");
    }
    let server = start(builder().admin("tcp4://0.0.0.0:0").admin_public(true));
    let port = server.admin_endpoint().unwrap().rsplit(':').next().unwrap().to_owned();
    let at = format!("127.0.0.1:{port}").parse().unwrap();
    let foreign = exchange(at, b"GET /live HTTP/1.1\r\nHost: app-1.example.org\r\n\r\n");
    assert_eq!(foreign.status, 200);
    let origin = b"GET /live HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\n\r\n";
    assert_eq!(exchange(at, origin).status, 403);
}

#[test]
fn commands_need_the_token_over_tcp() {
    let server = start(builder());
    assert_eq!(ask(&server, "POST", "/drain", "").status, 403, "without a token there are none");
    drop(server);
    for token in ["", "short", "a token with some spaces", "a-token-with-\u{e9}-in-it"] {
        let error = builder().admin_token(token).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error:?}").contains("a-token"), "it is a secret: {error:?}");
    }
    let commands = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&commands);
    let server = start(builder().admin_token(TOKEN).on_admin_command(move |command| {
        assert_eq!(command, AdminCommand::LogLevel(log::LevelFilter::Debug));
        counted.fetch_add(1, Ordering::SeqCst);
        true
    }));
    let wrong = format!("Authorization: Bearer {TOKEN}x\r\n");
    for field in ["", &wrong, "Authorization: Basic YTpi\r\n"] {
        let response = ask(&server, "POST", "/log-level?level=debug", field);
        assert_eq!((response.status, response.field("www-authenticate")), (401, Some("Bearer")));
    }
    assert_eq!(commands.load(Ordering::SeqCst), 0);
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(ask(&server, "POST", "/log-level?level=loud", &right).status, 400);
    assert_eq!(ask(&server, "POST", "/log-level", &right).status, 400);
    assert_eq!(ask(&server, "POST", "/log-level?level=debug", &right).status, 202);
    assert_eq!(commands.load(Ordering::SeqCst), 1);
}

#[test]
fn a_unix_socket_takes_commands_and_a_drain_ends_the_server() {
    let gate = Arc::new(Gate::closed());
    let (dir, held) = (tempfile::tempdir().unwrap(), Arc::clone(&gate));
    let path = dir.path().join("admin.sock");
    let server =
        start(builder().admin(format!("unix:{}", path.display())).http(move |_: &mut Request| {
            held.wait();
            HandlerResponse::text("Hello")
        }));
    let ask = |request: &str| {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nHost: any\r\n\r\n").unwrap();
        read_last_response(&mut stream).status
    };
    let mut client = connect(addr(&server));
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("the request is served", || gate.waited() == 1);
    assert_eq!(ask("GET /ready"), 200);
    assert_eq!(ask("POST /reload"), 404, "the library has no such command");
    assert_eq!(ask("POST /drain"), 202);
    assert_eq!(ask("GET /ready"), 503, "from the moment at which the stop was asked for");
    assert_eq!(ask("GET /live"), 200, "it finishes the request");
    gate.open();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("Hello"), "{text}");
    let report = server.wait();
    assert_eq!((report.served, report.cut_off), (1, 0));
    assert!(!path.exists(), "the socket's file is gone with its thread");
}

#[test]
fn a_server_is_not_ready_until_every_worker_is() {
    let gate = Arc::new(Gate::closed());
    let held = Arc::clone(&gate);
    let server = Server::builder()
        .bind("tcp://127.0.0.1:0")
        .workers(1)
        .admin("tcp://127.0.0.1:0")
        .http_with(move |_| {
            held.wait();
            Ok::<_, std::io::Error>(|_: &mut Request| "Hello")
        })
        .build()
        .unwrap();
    let handle = server.handle();
    let started = std::thread::spawn(|| server.start().unwrap());
    until("the worker is prepared", || gate.waited() == 1);
    let response = get(&handle, "/ready");
    assert_eq!((response.status, response.text()), (503, "starting\n"));
    assert_eq!(get(&handle, "/live").status, 200);
    gate.open();
    let server = started.join().unwrap();
    assert_eq!(get(&server, "/ready").status, 200);
}

#[test]
fn what_is_slow_large_or_malformed_is_bounded() {
    let server = start(builder());
    let at = admin(&server);
    let large = format!("GET /live HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(2000));
    assert_eq!(exchange(at, large.as_bytes()).status, 431);
    let target = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(600));
    assert_eq!(exchange(at, target.as_bytes()).status, 414);
    assert_eq!(exchange(at, b"GET /live HTTP/1.1\r\n\r\n").status, 400);
    assert_eq!(exchange(at, b"\x16\x03\x01\x02\x00\x01\x00").status, 400);
    let head = "POST /drain HTTP/1.1\r\nHost: localhost\r\n";
    let body = format!("{head}Content-Length: 1025\r\n\r\n");
    assert_eq!(exchange(at, body.as_bytes()).status, 413);
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(exchange(at, chunked.as_bytes()).status, 411);
    // A second request on the connection is not served.
    let two =
        b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /ready HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(exchange(at, two).text(), "live\n");
    let began = Instant::now();
    let mut slow = connect(at);
    slow.write_all(b"GET /live HT").unwrap();
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    let lasted = began.elapsed();
    assert!(rest.is_empty());
    assert!((1500..4000).contains(&(lasted.as_millis() as u64)), "{lasted:?}");
}

#[test]
fn many_connections_that_send_nothing_keep_nobody_out() {
    let server = start(builder());
    let silent: Vec<_> = (0..40).map(|_| connect(admin(&server))).collect();
    let began = Instant::now();
    assert_eq!(get(&server, "/live").status, 200);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    // All but eight were closed before their two seconds were over.
    let closed = silent.into_iter().filter_map(|mut client| {
        client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        client.read(&mut [0; 1]).ok()
    });
    assert!(closed.count() >= 30, "{:?}", began.elapsed());
}

#[test]
fn an_attack_on_the_admin_endpoint_does_not_slow_the_server() {
    let server = start(builder());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    if let Ok(mut client) = TcpStream::connect(admin(&server)) {
                        let _ = client.write_all(&[b'x'; 4096]);
                    }
                    std::thread::yield_now();
                }
            });
        }
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let mut times: Vec<_> = (0..200)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(exchange(addr(&server), request).status, 200);
                began.elapsed()
            })
            .collect();
        done.store(true, Ordering::SeqCst);
        times.sort_unstable();
        println!("under attack: median {:?}, p99 {:?}", times[100], times[198]);
        assert!(times[100] < Duration::from_millis(50), "{:?}", times[100]);
    });
}
