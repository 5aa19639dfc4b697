//! Raw sockets. They need CAP_NET_RAW, and say so when they are skipped.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use millpond::ErrorKind;
use millpond::net::{Endpoint, Ipv4Header, Raw};

use super::common::{endpoint, skipped};

const LONG: Duration = Duration::from_secs(20);

/// `None`, said aloud, if the privilege is missing; then the error has to say so too.
fn privileged<T>(result: Result<T, millpond::Error>) -> Option<T> {
    match result {
        Ok(made) => Some(made),
        Err(error) if error.kind() == ErrorKind::Permission => {
            assert!(error.hint().unwrap().contains("CAP_NET_RAW"), "{error}");
            skipped(&format!("{error:#}"));
            None
        }
        Err(error) => panic!("{error:#}"),
    }
}

#[test]
fn a_raw_socket_receives_the_packets_of_its_protocol_with_their_headers() {
    // 253 is for experiments: RFC 3692 §2.1.
    let Some(mut server) = privileged(Raw::bind(&endpoint("ip4:253:127.0.0.1"))) else { return };
    server.set_timeout(Some(LONG));
    let client = Raw::connect(&endpoint("ip4:253:127.0.0.1"), None).unwrap();
    client.send(b"hello").unwrap();
    let mut buf = [0; 1500];
    let (received, from) = server.recv_from(&mut buf).unwrap();
    assert_eq!(from.as_socket().unwrap().ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (header, payload) = Ipv4Header::decode(&buf[..received.len]).unwrap();
    assert_eq!((header.protocol, payload), (253, &b"hello"[..]));
    assert_eq!(client.peer_addr(), from.as_socket());
    assert_eq!(server.peer_addr(), None);

    client.send(&[1; 100]).unwrap();
    let (received, _) = server.recv_from(&mut [0; 60]).unwrap();
    assert_eq!((received.len, received.full), (60, 120));
}

#[test]
fn a_header_that_the_program_built_arrives_unchanged() {
    let Some(mut server) = privileged(Raw::bind(&endpoint("ip4:254:127.0.0.1"))) else { return };
    server.set_timeout(Some(LONG));
    let sender = Raw::with_own_header().unwrap();
    let header = Ipv4Header {
        source: Ipv4Addr::new(127, 0, 0, 9),
        destination: Ipv4Addr::LOCALHOST,
        protocol: 254,
        ttl: 42,
    };
    let mut packet = header.encode(2).to_vec();
    packet.extend(b"ab");
    sender.send_to(&packet, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let mut buf = [0; 100];
    let (received, from) = server.recv_from(&mut buf).unwrap();
    assert_eq!(from.as_socket().unwrap().ip(), IpAddr::V4(header.source));
    assert_eq!(Ipv4Header::decode(&buf[..received.len]), Some((header, &b"ab"[..])));
    server.set_nonblocking(true);
    assert_eq!(server.recv_from(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn an_endpoint_of_another_kind_is_refused() {
    let tcp: Endpoint = endpoint(":80");
    assert_eq!(Raw::bind(&tcp).unwrap_err().kind(), ErrorKind::Endpoint);
}
