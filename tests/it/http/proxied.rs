//! Requests through a trusted proxy: which client they are of, and how long they have waited.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millpond::http::{Handler, Request, Response};
use millpond::{CloseReason, Config, Refusal, Server};

use super::common::serve_with;
use crate::support::{
    Gate, PATIENCE, Start, TestServer, addr, connect, connect_from, exchange, read_last_response,
    read_response, read_responses, start_http_with, statuses, until,
};

/// Everyone on 127.0.0.1 is a proxy. Tests that need another client come from 127.0.0.2.
fn config() -> Config {
    let mut config = Config::default();
    config.proxy.trusted = vec!["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    config
}

/// Who sent a request, and how.
fn origin(request: &mut Request) -> Response {
    let text = |addr: Option<std::net::SocketAddr>| match addr {
        Some(addr) => addr.to_string(),
        None => "-".to_owned(),
    };
    let peer = request.peer_addr().map_or_else(|| "-".to_owned(), |peer| peer.ip().to_string());
    let body = request.read_body(1000).map_or(0, |body| body.len());
    Response::text(format!("{} {} {peer} {body}", text(request.client_addr()), request.scheme()))
}

fn request(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

fn ask(server: &TestServer, fields: &str) -> String {
    let request = request(&format!("Connection: close\r\n{fields}"));
    exchange(addr(server), request.as_bytes()).text().to_owned()
}

#[test]
fn a_trusted_proxy_names_the_client_and_the_scheme_and_the_peer_stays() {
    let server = serve_with(config(), origin);
    let xff = "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.1.1.1\r\nX-Forwarded-Proto: https\r\n";
    assert_eq!(ask(&server, xff), "192.0.2.1:0 https 127.0.0.1 0");
    let lines = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: [2001:db8::1]:81\r\n";
    assert_eq!(ask(&server, lines), "[2001:db8::1]:81 http 127.0.0.1 0");
    let malformed = ask(&server, "X-Forwarded-For: 6.6.6.6, unknown\r\n");
    assert!(malformed.starts_with("127.0.0.1:"), "{malformed}");
    let none = ask(&server, "Forwarded: for=6.6.6.6;proto=https\r\n");
    assert!(none.starts_with("127.0.0.1:") && none.contains(" http "), "{none}");
}

#[test]
fn the_field_and_the_trust_change_with_the_settings_also_for_open_connections() {
    let server = serve_with(Config::default(), origin);
    let mut kept = connect(addr(&server));
    let fields = "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.2;proto=https\r\n\
                  X-Real-IP: 192.0.2.3\r\n";
    let ask_again = |kept: &mut TcpStream| {
        kept.write_all(request(fields).as_bytes()).unwrap();
        read_response(kept).text().to_owned()
    };
    let peer = kept.local_addr().unwrap();
    assert_eq!(ask_again(&mut kept), format!("{peer} http 127.0.0.1 0"));
    for (header, expected) in [
        ("X-Forwarded-For", "192.0.2.1:0 http".to_owned()),
        ("forwarded", "192.0.2.2:0 https".to_owned()),
        ("X-Real-IP", "192.0.2.3:0 http".to_owned()),
        ("", format!("{peer} http")),
    ] {
        let mut config = config();
        config.proxy.header = header.to_owned();
        server.reconfigure(config).unwrap();
        assert_eq!(ask_again(&mut kept), format!("{expected} 127.0.0.1 0"), "{header}");
    }
    server.reconfigure(Config::default()).unwrap();
    assert_eq!(ask_again(&mut kept), format!("{peer} http 127.0.0.1 0"));
}

#[test]
fn the_fields_of_another_peer_are_ignored() {
    let server = serve_with(config(), origin);
    let mut stream = connect_from([127, 0, 0, 2], addr(&server));
    let fields = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n";
    stream.write_all(request(fields).as_bytes()).unwrap();
    let expected = format!("{} http 127.0.0.2 0", stream.local_addr().unwrap());
    assert_eq!(read_response(&mut stream).text(), expected);
}

/// A server at this Unix socket, and a connection to it.
fn over_unix(path: &Path, config: Config, handler: impl Handler) -> (TestServer, UnixStream) {
    let bind = format!("unix:{}", path.display());
    let server = Server::builder().config(config).bind(&*bind).http(handler);
    let server = server.build().unwrap().start().unwrap();
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    (server, stream)
}

#[test]
fn peers_on_unix_sockets_are_trusted_by_that_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sock");
    let mut trusting = Config::default();
    trusting.proxy.trusted = vec!["unix".parse().unwrap()];
    for (config, expected) in
        [(trusting, "192.0.2.1:0 http - 0"), (Config::default(), "- http - 0")]
    {
        let (server, mut stream) = over_unix(&path, config, origin);
        stream.write_all(request("X-Forwarded-For: 192.0.2.1\r\n").as_bytes()).unwrap();
        assert_eq!(read_response(&mut stream).text(), expected);
        drop(server);
    }
}

/// A proxy uses one connection for the requests of many clients, in pieces or behind each other.
#[test]
fn each_request_of_a_connection_has_its_own_client_however_its_bytes_arrive() {
    let server = serve_with(config(), origin);
    let mut stream = connect(addr(&server));
    let post = |n: u8, body: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.{n}\r\nContent-Length: {}\r\n\
             \r\n{body}",
            body.len()
        )
    };
    for n in 1..=3 {
        stream.write_all(request(&format!("X-Forwarded-For: 192.0.2.{n}\r\n")).as_bytes()).unwrap();
        assert_eq!(read_response(&mut stream).text(), format!("192.0.2.{n}:0 http 127.0.0.1 0"));
    }
    let parked = |count| until("it is parked", || server.stats().parked == count);
    let whole = post(4, "abc");
    for cut in [1, 30, whole.len() - 3, whole.len() - 1] {
        parked(1);
        stream.write_all(&whole.as_bytes()[..cut]).unwrap();
        parked(1);
        stream.write_all(&whole.as_bytes()[cut..]).unwrap();
        assert_eq!(read_response(&mut stream).text(), "192.0.2.4:0 http 127.0.0.1 3", "{cut}");
    }
    let pipelined: String = (5..25).map(|n| post(n, "abcd")).collect();
    stream.write_all(pipelined.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let responses = read_responses(&mut stream);
    assert_eq!(responses.len(), 20);
    for (n, response) in (5..).zip(responses) {
        assert_eq!(response.text(), format!("192.0.2.{n}:0 http 127.0.0.1 4"));
    }
}

/// What is wrong with a request is found by the worker, as without a proxy.
#[test]
fn faults_of_a_proxy_are_handled_as_those_of_any_client() {
    let server = serve_with(config(), origin);
    let get = |bytes: &[u8]| exchange(addr(&server), bytes).status;
    assert_eq!(get(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For : 192.0.2.1\r\n\r\n"), 400);
    assert_eq!(get(b"GET / HTTP/9.1\r\n\r\n"), 505);
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {}", "1,".repeat(40_000));
    assert_eq!(get(long.as_bytes()), 431);
    let mut half = connect(addr(&server));
    half.write_all(b"GET / HTTP/1.1\r\nHos").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_last_response(&mut half).status, 400);
    drop(connect(addr(&server)));
    until("every connection is closed", || server.stats().live == 0);
}

/// `X-Request-Start` with the time that was `ago`.
fn request_start(ago: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("X-Request-Start: t={:.6}\r\n", (now - ago).as_secs_f64())
}

#[test]
fn the_wait_in_a_trusted_proxy_counts_as_queue_wait_and_against_the_deadline() {
    let mut config = config();
    config.overload.deadline = Duration::from_secs(20);
    let server = serve_with(config, |request: &mut Request| {
        let (wait, left) = (request.queue_wait(), request.remaining());
        Response::text(format!("{} {}", wait.as_millis(), left.as_millis()))
    });
    let times = |source: [u8; 4]| -> (u64, u64) {
        let mut stream = connect_from(source, addr(&server));
        let fields = request_start(Duration::from_secs(5));
        stream.write_all(request(&fields).as_bytes()).unwrap();
        let response = read_response(&mut stream);
        let (wait, left) = response.text().split_once(' ').unwrap();
        (wait.parse().unwrap(), left.parse().unwrap())
    };
    let (wait, left) = times([127, 0, 0, 1]);
    assert!(wait >= 5_000 && left <= 15_000, "{wait} {left}");
    // Any client can claim to have waited. It only shortens its own deadline.
    let (wait, left) = times([127, 0, 0, 2]);
    assert!(wait < 5_000 && left <= 15_000, "{wait} {left}");
}

#[test]
fn a_request_whose_time_is_used_up_in_a_trusted_proxy_is_refused() {
    let server = serve_with(config(), |_: &mut Request| Response::text("served"));
    let status = |source: [u8; 4], fields: &str| {
        let mut stream = connect_from(source, addr(&server));
        stream.write_all(request(fields).as_bytes()).unwrap();
        read_response(&mut stream).status
    };
    let (proxy, other) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    let half = request_start(Duration::from_millis(500));
    let with_timeout = format!("X-Request-Timeout: 400ms\r\n{half}");
    assert_eq!(status(proxy, &half), 200, "half of the server's deadline is left");
    assert_eq!(status(proxy, &with_timeout), 503);
    assert_eq!(server.stats().refused_for(Refusal::Deadline), 1);
    assert_eq!(status(other, &with_timeout), 200, "it may not have waited");
    // The server's own deadline is a second.
    let late = request_start(Duration::from_secs(3));
    assert_eq!(status(proxy, &late), 503);
    assert_eq!(status(other, &late), 200);
    assert_eq!(server.stats().refused_for(Refusal::Deadline), 2);
}

/// The table is full of idle connections: most are the proxy's, and others lose theirs.
#[test]
fn a_full_table_closes_no_connection_of_a_trusted_proxy_while_there_are_others() {
    let mut config = config();
    config.limits.connections = 12;
    config.pool.workers = 2;
    let server = start_http_with(config, origin);
    let kept = |source: [u8; 4]| {
        let mut stream = connect_from(source, addr(&server));
        stream.write_all(request("X-Forwarded-For: 192.0.2.1\r\n").as_bytes()).unwrap();
        assert_eq!(read_response(&mut stream).status, 200);
        stream
    };
    let mut proxies: Vec<_> = (0..9).map(|_| kept([127, 0, 0, 1])).collect();
    let others: Vec<_> = (2..5).map(|n| kept([127, 0, 0, n])).collect();
    until("all are parked", || server.stats().parked == 12);
    // Newcomers of the proxy have room, though it has most connections.
    proxies.extend((0..3).map(|_| kept([127, 0, 0, 1])));
    until("the others have made room", || server.stats().closed_for(CloseReason::MadeRoom) == 3);
    for proxy in &mut proxies {
        proxy.write_all(request("").as_bytes()).unwrap();
        assert_eq!(read_response(proxy).status, 200);
    }
    drop(others);
}

/// While every worker is stuck and the queue is full, a refused request of a proxy gets a response
/// at once, and its connection stays: other clients use it, too.
#[test]
fn a_refused_request_of_a_proxy_keeps_its_connection() {
    let gate = Arc::new(Gate::closed());
    let held = Arc::clone(&gate);
    let mut config = config();
    config.pool.workers = 1;
    config.pool.queue = Some(2);
    config.overload.deadline = Duration::from_secs(60);
    // Nothing is left of the budget after the first refusal.
    config.overload.refuse_budget = 0.000_001;
    let server = start_http_with(config, move |request: &mut Request| {
        if request.uri().path() == "/slow" {
            std::thread::sleep(Duration::from_millis(20));
        } else {
            held.wait();
        }
        Response::text("served")
    });
    // A slow handler: while handlers are fast, a full queue refuses nothing.
    for _ in 0..3 {
        let slow = b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(exchange(addr(&server), slow).status, 200);
    }
    let mut clients: Vec<_> = (0..8).map(|_| connect(addr(&server))).collect();
    let xff = request("X-Forwarded-For: 192.0.2.1\r\n");
    clients[0].write_all(xff.as_bytes()).unwrap();
    until("the worker is stuck", || gate.waited() == 1);
    for client in &mut clients[1..3] {
        client.write_all(xff.as_bytes()).unwrap();
    }
    until("the queue is full", || server.stats().queued == 2);
    for client in &mut clients[3..] {
        for _ in 0..2 {
            client.write_all(xff.as_bytes()).unwrap();
            let refused = read_response(client);
            assert_eq!(refused.status, 503);
            assert_eq!(refused.field("connection"), Some("keep-alive"));
        }
    }
    gate.open();
    assert_eq!(
        statuses(&clients.iter_mut().take(3).map(read_response).collect::<Vec<_>>()),
        [200; 3]
    );
    for client in &mut clients[3..] {
        client.write_all(xff.as_bytes()).unwrap();
        assert_eq!(read_response(client).status, 200);
    }
}

/// The connection then has room to write, and no next request.
#[test]
fn a_response_that_a_proxy_reads_slowly_arrives_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sock");
    let mut config = Config::default();
    config.proxy.trusted = vec!["unix".parse().unwrap()];
    config.limits.pending = 4 << 20;
    let long = |_: &mut Request| Response::new(vec![b'x'; 2 << 20]);
    let (server, mut stream) = over_unix(&path, config, long);
    for _ in 0..2 {
        stream.write_all(request("X-Forwarded-For: 192.0.2.1\r\n").as_bytes()).unwrap();
        until("the response fills the socket", || server.stats().parked == 1);
        assert_eq!(read_response(&mut stream).body.len(), 2 << 20);
    }
}
