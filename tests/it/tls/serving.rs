//! Requests and responses over TLS.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use millpond::handlers::{Files, FilesOptions};
use millpond::http::{Body, HeaderValue, Request, Response, Upgraded, header};
use millpond::{Bind, CloseReason, Config, Server, Service, Tls};

use crate::support::tls::{TlsClient, start_https_with, start_tls_with, tls_settings};
use crate::support::{Start, addr, connect, read_last_response, read_response, until};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET_LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn one_worker() -> Config {
    let mut config = Config::default();
    config.pool.workers = 1;
    config
}

fn describe(request: &mut Request) -> String {
    let tls = request.tls().expect("the connection has TLS");
    let (name, resumed) = (tls.server_name(), tls.is_resumed());
    format!("{} {} {name:?} {resumed}", request.scheme(), tls.version())
}

#[test]
fn requests_are_served_over_both_versions_and_know_what_was_negotiated() {
    let server = start_https_with(one_worker(), describe);
    assert!(server.endpoints()[0].starts_with("tls://127.0.0.1:"), "{:?}", server.endpoints());
    let mut new = TlsClient::connect(addr(&server));
    let mut old = TlsClient::connect_tls12(addr(&server));
    for _ in 0..3 {
        for (client, version) in [(&mut new, "TLSv1.3"), (&mut old, "TLSv1.2")] {
            client.write_all(GET).unwrap();
            let response = read_response(client);
            assert_eq!(response.text(), format!("https {version} Some(\"localhost\") false"));
        }
    }
    // The end is announced: without that, the client would report a cut.
    for client in [&mut new, &mut old] {
        client.write_all(GET_LAST).unwrap();
        assert_eq!(read_last_response(client).status, 200);
    }
    until("closed", || server.stats().closed_for(CloseReason::Finished) == 2);
}

#[test]
fn pipelined_requests_that_share_a_record_or_are_cut_into_many_are_all_served() {
    let server = start_https_with(one_worker(), |_: &mut Request| "ok");
    let mut client = TlsClient::connect(addr(&server));
    // All in one record: epoll reports it once.
    client.write_all(&GET.repeat(20)).unwrap();
    for _ in 0..20 {
        assert_eq!(read_response(&mut client).text(), "ok");
    }
    for byte in GET.repeat(3) {
        client.write_all(&[byte]).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(read_response(&mut client).text(), "ok");
    }
}

#[test]
fn long_bodies_go_in_both_directions() {
    let server = start_https_with(one_worker(), |request: &mut Request| {
        let body = request.read_body(50 << 20).unwrap();
        Response::new(body)
    });
    let mut client = TlsClient::connect(addr(&server));
    for length in [1, 16_383, 16_384, 16_385, 100_000, 3_000_000] {
        let body: Vec<u8> = (0..length).map(|n: usize| (n % 251) as u8).collect();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&body).unwrap();
        assert!(read_response(&mut client).body == body, "{length}");
    }
}

#[test]
fn a_slow_reader_of_a_long_response_takes_no_worker_and_gets_all_of_it() {
    let server = start_https_with(one_worker(), |request: &mut Request| match request.path() {
        "/long" => vec![b'x'; 900_000],
        _ => b"short".to_vec(),
    });
    let mut slow = TlsClient::connect(addr(&server));
    slow.write_all(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("parked", || server.stats().served == 1 && server.stats().parked == 1);
    let mut other = TlsClient::connect(addr(&server));
    other.write_all(GET).unwrap();
    assert_eq!(read_response(&mut other).text(), "short");
    assert_eq!(read_response(&mut slow).body.len(), 900_000);
    slow.write_all(GET).unwrap();
    assert_eq!(read_response(&mut slow).text(), "short");
}

#[test]
fn files_are_encrypted_piece_by_piece() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..2_000_003_u32).map(|n| (n % 253) as u8).collect();
    std::fs::write(dir.path().join("file"), &content).unwrap();
    let files = Files::open(dir.path(), FilesOptions::default()).unwrap();
    let server = start_https_with(one_worker(), files);
    let mut client = TlsClient::connect(addr(&server));
    for _ in 0..2 {
        client.write_all(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(read_response(&mut client).body == content);
    }
    client
        .write_all(b"GET /file HTTP/1.1\r\nHost: a\r\nRange: bytes=100000-300000\r\n\r\n")
        .unwrap();
    assert!(read_response(&mut client).body == content[100_000..=300_000]);
}

#[test]
fn a_body_that_is_made_while_it_is_sent_arrives() {
    let server = start_https_with(one_worker(), |_: &mut Request| {
        Response::new(Body::from_writer(|out| {
            for n in 0..1000 {
                writeln!(out, "line {n}")?;
                if n % 100 == 0 {
                    out.flush()?;
                }
            }
            Ok(())
        }))
    });
    let mut client = TlsClient::connect(addr(&server));
    client.write_all(GET).unwrap();
    let text = read_response(&mut client).text().to_owned();
    assert!(text.starts_with("line 0\n") && text.ends_with("line 999\n"));
}

#[test]
fn an_end_without_announcement_is_no_error_between_requests_and_cuts_a_body_short() {
    let server =
        start_https_with(one_worker(), |request: &mut Request| match request.read_body(1000) {
            Ok(_) => "whole",
            Err(_) => "cut",
        });
    let mut idle = TlsClient::connect(addr(&server));
    idle.write_all(GET).unwrap();
    assert_eq!(read_response(&mut idle).text(), "whole");
    idle.socket.shutdown(Shutdown::Write).unwrap();
    until("closed", || server.stats().closed_for(CloseReason::ClientClosed) == 1);
    let mut cut = TlsClient::connect(addr(&server));
    cut.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").unwrap();
    cut.socket.shutdown(Shutdown::Write).unwrap();
    until("closed", || server.stats().closed_for(CloseReason::ClientGone) == 1);
}

#[test]
fn a_client_that_announces_its_end_with_the_request_gets_its_response() {
    let server = start_https_with(one_worker(), |_: &mut Request| "ok");
    let mut client = TlsClient::connect(addr(&server));
    client.write_all(GET).unwrap();
    client.end();
    assert_eq!(read_last_response(&mut client).text(), "ok");
    // The socket stays open: only TLS says that nothing more will come.
    let mut client = TlsClient::connect(addr(&server));
    client.tls.writer().write_all(GET).unwrap();
    client.tls.send_close_notify();
    while client.tls.wants_write() {
        client.tls.write_tls(&mut client.socket).unwrap();
    }
    assert_eq!(read_last_response(&mut client).text(), "ok");
}

#[test]
fn an_https_target_is_served_and_an_http_target_is_misdirected() {
    let server = start_https_with(one_worker(), |request: &mut Request| {
        request.headers()[header::HOST].to_str().unwrap().to_owned()
    });
    let mut client = TlsClient::connect(addr(&server));
    client.write_all(b"GET https://a.example/ HTTP/1.1\r\nHost: b\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut client).text(), "a.example");
    client.write_all(b"GET http://a.example/ HTTP/1.1\r\nHost: b\r\n\r\n").unwrap();
    assert_eq!(read_last_response(&mut client).status, 421);
}

#[test]
fn a_request_without_tls_gets_a_plain_400_or_is_redirected() {
    let server = start_https_with(one_worker(), |_: &mut Request| "unreachable");
    let mut client = connect(addr(&server));
    client.write_all(GET).unwrap();
    let response = read_last_response(&mut client);
    assert_eq!(response.status, 400);
    assert!(response.text().contains("TLS"), "{}", response.text());
    let mut settings = tls_settings();
    settings.redirect = true;
    let service = Service::http(|_: &mut Request| "unreachable");
    let server = start_tls_with(one_worker(), service, &settings);
    // In two pieces, so that the connection waits for the second.
    let mut client = connect(addr(&server));
    client.write_all(b"GET /a?b=c HTTP/1.1\r\n").unwrap();
    until("parked", || server.stats().parked == 1);
    client.write_all(b"Host: localhost:1234\r\n\r\n").unwrap();
    let response = read_last_response(&mut client);
    assert_eq!(response.status, 308);
    assert_eq!(response.field("location"), Some("https://localhost:1234/a?b=c"));
    // Another protocol than HTTP cannot say so.
    let server = start_tls_with(one_worker(), Service::echo(), &tls_settings());
    let mut client = connect(addr(&server));
    client.write_all(b"hello").unwrap();
    let mut received = Vec::new();
    let _ = client.read_to_end(&mut received);
    assert!(received.is_empty());
    until("closed", || server.stats().closed_for(CloseReason::TlsFailed) == 1);
}

#[test]
fn an_upgraded_connection_reads_and_writes_through_tls() {
    let server = start_https_with(one_worker(), |_: &mut Request| {
        Response::upgrade(HeaderValue::from_static("test"), |mut stream: Upgraded| {
            let mut text = Vec::new();
            stream.read_to_end(&mut text).unwrap();
            text.reverse();
            stream.write_all(&text).unwrap();
            stream.flush().unwrap();
        })
    });
    let mut client = TlsClient::connect(addr(&server));
    let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\n";
    // The first bytes of the new protocol are in the record of the head.
    client.write_all(format!("{head}0123").as_bytes()).unwrap();
    assert_eq!(read_response(&mut client).status, 101);
    let long = vec![b'x'; 300_000];
    client.write_all(&long).unwrap();
    client.end();
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert!(received == [&long[..], b"3210"].concat());
}

#[test]
fn the_echo_works_over_tls() {
    let server = start_tls_with(one_worker(), Service::echo(), &tls_settings());
    let mut client = TlsClient::connect(addr(&server));
    let sent: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    for piece in sent.chunks(10_000) {
        client.write_all(piece).unwrap();
        let mut received = vec![0; piece.len()];
        client.read_exact(&mut received).unwrap();
        assert!(received == piece);
    }
}

#[test]
fn a_handshake_has_a_deadline_and_garbage_ends_it() {
    let mut config = one_worker();
    config.timeouts.handshake = Duration::from_millis(100);
    let server = start_https_with(config, |_: &mut Request| "ok");
    let silent = connect(addr(&server));
    let mut half = connect(addr(&server));
    half.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    until("timed out", || server.stats().closed_for(CloseReason::HandshakeTimeout) == 2);
    drop((silent, half));
    let mut garbage = connect(addr(&server));
    garbage.write_all(&[0x16, 3, 1, 0, 4, 1, 0, 0, 0]).unwrap();
    let mut alert = Vec::new();
    let _ = garbage.read_to_end(&mut alert);
    assert_eq!(alert.first(), Some(&0x15), "an alert says why: {alert:?}");
    until("failed", || server.stats().closed_for(CloseReason::TlsFailed) == 1);
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    let mut config = one_worker();
    config.proxy.trusted = vec!["127.0.0.1".parse().unwrap()];
    let tls = Tls::new(&tls_settings()).unwrap();
    let bind = Bind::to("tls://127.0.0.1:0?proxy=require").tls(&tls);
    let server = Server::builder().config(config).bind(bind).http(|request: &mut Request| {
        format!("{} {:?}", request.scheme(), request.client_addr().map(|addr| addr.ip()))
    });
    let server = server.build().unwrap().start().unwrap();
    let mut socket = connect(addr(&server));
    socket.write_all(b"PROXY TCP4 192.0.2.7 127.0.0.1 5 6\r\n").unwrap();
    let mut client = TlsClient::over(socket);
    client.write_all(GET).unwrap();
    assert_eq!(read_response(&mut client).text(), "https Some(192.0.2.7)");
}

#[test]
fn an_endpoint_with_tls_needs_a_certificate() {
    let hello = |_: &mut Request| "ok";
    let without = Server::builder().bind("tls://127.0.0.1:0").http(hello).build().unwrap_err();
    let text = "no certificate for tls://127.0.0.1:0";
    assert!(without.to_string().contains(text), "{without}");
    let tls = Tls::new(&tls_settings()).unwrap();
    let server = Server::builder().bind("tls://127.0.0.1:0").tls(tls.clone()).http(hello);
    let server = server.build().unwrap().start().unwrap();
    let mut client = TlsClient::connect(addr(&server));
    client.write_all(GET).unwrap();
    assert_eq!(read_response(&mut client).status, 200);
    let bind = Bind::to("udp://127.0.0.1:0").tls(&tls);
    let error = Server::builder().bind(bind).service(Service::echo()).build().unwrap_err();
    assert!(error.to_string().contains("cannot have TLS"), "{error}");
}
