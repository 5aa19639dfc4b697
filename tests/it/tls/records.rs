//! The bytes of TLS: cut anywhere, and not as they should be.

use std::io::{Read, Write};
use std::time::Duration;

use millpond::http::{Request, Response};
use millpond::{CloseReason, Config};
use rustls::ClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::empty_records;
use crate::support::tls::{TlsClient, certificate, ciphertext, client_side, start_https_with};
use crate::support::{TestServer, addr, connect, read_response, uninterrupted, until};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn server() -> TestServer {
    let mut config = Config::default();
    config.pool.workers = 2;
    start_https_with(config, |request: &mut Request| {
        Response::new(request.read_body(1 << 20).unwrap_or_default())
    })
}

/// Sends the ciphertext that a client has, cut at this position of its whole stream.
fn send_cut(client: &mut TlsClient, sent: &mut usize, cut: usize, server: &TestServer) {
    let bytes = ciphertext(&mut client.tls);
    let at = cut.saturating_sub(*sent).min(bytes.len());
    *sent += bytes.len();
    client.socket.write_all(&bytes[..at]).unwrap();
    if at > 0 && at < bytes.len() {
        until("parked", || server.stats().parked == 1);
    }
    client.socket.write_all(&bytes[at..]).unwrap();
}

fn receive(tls: &mut ClientConnection, socket: &mut impl Read) {
    uninterrupted(|| tls.read_tls(socket)).unwrap();
    tls.process_new_packets().unwrap();
}

/// A whole session: the handshake, two requests in two records, and their responses. Returns the
/// length of the client's stream.
fn session_with_cut(server: &TestServer, cut: usize) -> usize {
    let tls = client_side(rustls::ALL_VERSIONS);
    let mut client = TlsClient { tls, socket: connect(addr(server)) };
    let mut sent = 0;
    while client.tls.is_handshaking() {
        send_cut(&mut client, &mut sent, cut, server);
        if client.tls.is_handshaking() {
            receive(&mut client.tls, &mut client.socket);
        }
    }
    client.tls.writer().write_all(GET).unwrap();
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    client.tls.writer().write_all(post).unwrap();
    send_cut(&mut client, &mut sent, cut, server);
    assert_eq!(read_response(&mut client).text(), "", "cut at {cut}");
    assert_eq!(read_response(&mut client).text(), "hello", "cut at {cut}");
    drop(client);
    until("closed", || server.stats().live == 0);
    sent
}

#[test]
fn the_stream_may_be_cut_at_every_position() {
    let server = server();
    let length = session_with_cut(&server, 0);
    assert!(length > 400, "{length}");
    (1..=length).for_each(|cut| _ = session_with_cut(&server, cut));
}

#[test]
fn the_stream_may_arrive_byte_by_byte() {
    let server = server();
    let tls = client_side(rustls::ALL_VERSIONS);
    let mut client = TlsClient { tls, socket: connect(addr(&server)) };
    let send = |client: &mut TlsClient| {
        let bytes = ciphertext(&mut client.tls);
        bytes.iter().for_each(|byte| client.socket.write_all(&[*byte]).unwrap());
    };
    while client.tls.is_handshaking() {
        send(&mut client);
        if client.tls.is_handshaking() {
            receive(&mut client.tls, &mut client.socket);
        }
    }
    for _ in 0..3 {
        client.tls.writer().write_all(GET).unwrap();
        send(&mut client);
        assert_eq!(read_response(&mut client).status, 200);
    }
}

#[test]
fn new_keys_are_agreed_on_and_a_flood_of_them_ends_the_connection() {
    let server = server();
    let mut client = TlsClient::connect(addr(&server));
    for _ in 0..3 {
        client.tls.refresh_traffic_keys().unwrap();
        client.write_all(GET).unwrap();
        assert_eq!(read_response(&mut client).status, 200);
    }
    for _ in 0..100 {
        client.tls.refresh_traffic_keys().unwrap();
        while client.tls.wants_write() {
            if client.tls.write_tls(&mut client.socket).is_err() {
                break;
            }
        }
    }
    until("failed", || server.stats().closed_for(CloseReason::TlsFailed) == 1);
}

#[test]
fn records_without_data_end_the_connection_while_others_are_served() {
    let mut config = Config::default();
    config.pool.workers = 1;
    let server = start_https_with(config, |_: &mut Request| "ok");
    let root = CertificateDer::from_pem_file(certificate().chain()).unwrap();
    let flooding = empty_records::client(root, "localhost");
    let mut flooding = TlsClient::with(connect(addr(&server)), flooding);
    let mut other = TlsClient::connect(addr(&server));
    let mut sent = 0;
    while sent < 70_000 {
        empty_records::queue_without_data(&mut flooding.tls, 200);
        let bytes = ciphertext(&mut flooding.tls);
        sent += bytes.len();
        if flooding.socket.write_all(&bytes).is_err() {
            break;
        }
        other.write_all(GET).unwrap();
        assert_eq!(read_response(&mut other).text(), "ok");
    }
    until("failed", || server.stats().closed_for(CloseReason::TlsFailed) == 1);
    other.write_all(GET).unwrap();
    assert_eq!(read_response(&mut other).text(), "ok");
}

#[test]
fn a_record_that_is_too_long_or_forged_ends_the_connection_with_an_alert() {
    let server = server();
    let forged = [&[0x17, 3, 3, 0, 40][..], &[7; 40]].concat();
    let too_long = [&[0x17, 3, 3, 0x48, 1][..], &[7; 100]].concat();
    for (count, record) in [forged, too_long].into_iter().enumerate() {
        let mut client = TlsClient::connect(addr(&server));
        client.write_all(GET).unwrap();
        assert_eq!(read_response(&mut client).status, 200);
        client.socket.write_all(&record).unwrap();
        let error = uninterrupted(|| client.read(&mut [0])).unwrap_err();
        assert!(error.to_string().contains("alert"), "{error}");
        let failed = count as u64 + 1;
        until("failed", || server.stats().closed_for(CloseReason::TlsFailed) == failed);
    }
}

#[test]
fn a_handshake_without_end_is_cut_off() {
    let mut config = Config::default();
    config.timeouts.handshake = Duration::from_secs(600);
    let server = start_https_with(config, |_: &mut Request| "ok");
    let mut client = connect(addr(&server));
    // Handshake records that begin one message of 16 MiB.
    let mut record = vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    record.resize(5 + 0x4000, 0);
    for _ in 0..100 {
        if client.write_all(&record).is_err() {
            break;
        }
        record[5..9].fill(0);
    }
    until("failed", || server.stats().closed_for(CloseReason::TlsFailed) == 1);
}
