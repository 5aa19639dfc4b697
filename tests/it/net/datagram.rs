//! Datagrams: UDP of both versions of IP, Unix, and the reliable ones that Linux lacks.

use std::io;
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use millpond::ErrorKind;
use millpond::net::{Addr, Datagram, UDP_MAX, advice, describe};

use super::common::{Dir, endpoint, skipped, unix};
use crate::support::ports::Refusing;

const LONG: Option<Duration> = Some(Duration::from_secs(20));
const SHORT: Option<Duration> = Some(Duration::from_millis(30));

fn servers(dir: &Dir) -> [Datagram; 5] {
    [
        "udp://127.0.0.1:0".to_owned(),
        "udp4::0".to_owned(),
        "udp6://[::1]:0".to_owned(),
        format!("unixgram:{}", dir.path("s").display()),
        format!("unixgram:@millpond-gram-{}", dir.path("x").display()),
    ]
    .map(|text| {
        let mut server = Datagram::bind(&endpoint(&text)).unwrap();
        server.set_timeout(LONG);
        server
    })
}

#[test]
fn a_datagram_and_its_response_are_exchanged_over_every_family() {
    let dir = Dir::new();
    for server in servers(&dir) {
        let mut client = Datagram::connect(&endpoint(&server.endpoint_text()), None).unwrap();
        client.set_timeout(LONG);
        client.send(b"ping").unwrap();
        client.send(b"").unwrap();
        let mut buf = [0; 16];
        let (received, from) = server.recv_from(&mut buf).unwrap();
        assert_eq!((received.len, received.is_truncated()), (4, false));
        assert_eq!(from, client.local_addr().unwrap());
        assert_eq!(server.recv_from(&mut buf).unwrap().0.len, 0, "an empty one is one too");
        server.send_to(b"pong", &from).unwrap();
        assert_eq!(client.recv(&mut buf).unwrap().len, 4);
        assert!(client.peer_addr().is_ok());
        assert!(server.peer_addr().is_err());
    }
    assert!(!dir.path("s").exists(), "the file goes with its socket");
}

#[test]
fn a_wildcard_socket_receives_both_versions_of_ip() {
    let mut server = Datagram::bind(&endpoint("udp::0")).unwrap();
    server.set_timeout(LONG);
    let port = server.local_addr().unwrap().as_socket().unwrap().port();
    assert_eq!(server.to_string(), format!("udp://[::]:{port}"));
    for host in ["127.0.0.1", "[::1]"] {
        let mut client = Datagram::connect(&endpoint(&format!("udp:{host}:{port}")), None).unwrap();
        client.set_timeout(LONG);
        client.send(b"x").unwrap();
        let (_, from) = server.recv_from(&mut [0; 8]).unwrap();
        server.send_to(b"y", &from).unwrap();
        assert_eq!(client.recv(&mut [0; 8]).unwrap().len, 1);
    }
}

#[test]
fn a_datagram_longer_than_the_buffer_is_reported_as_truncated() {
    let dir = Dir::new();
    for server in servers(&dir) {
        let client = Datagram::connect(&endpoint(&server.endpoint_text()), None).unwrap();
        client.send(&[1; 1000]).unwrap();
        let (received, _) = server.recv_from(&mut [0; 100]).unwrap();
        assert_eq!((received.len, received.full), (100, 1000));
        assert!(received.is_truncated());
    }
}

#[test]
fn an_oversize_datagram_is_refused_and_explained() {
    let dir = Dir::new();
    for server in servers(&dir) {
        let client = Datagram::connect(&endpoint(&server.endpoint_text()), None).unwrap();
        let error = client.send(&vec![0; 64 << 20]).unwrap_err();
        assert_eq!(describe(&error), "EMSGSIZE (90): Message too long");
        assert!(advice(&error).unwrap().contains("at most 65507"));
    }
    let server = Datagram::bind(&endpoint("udp4:127.0.0.1:0")).unwrap();
    let to = server.local_addr().unwrap();
    server.send_to(&vec![0; UDP_MAX], &to).unwrap();
    assert_eq!(server.send_to(&vec![0; UDP_MAX + 1], &to).unwrap_err().raw_os_error(), Some(90));
}

#[test]
fn a_closed_peer_is_an_error_at_the_next_call() {
    let gone = Refusing::udp();
    let mut client = Datagram::connect(&endpoint(&format!("udp://{}", gone.addr)), None).unwrap();
    client.set_timeout(LONG);
    client.send(b"anyone?").unwrap();
    let error = client.recv(&mut [0; 8]).unwrap_err();
    assert_eq!(describe(&error), "ECONNREFUSED (111): Connection refused");

    let dir = Dir::new();
    let error = Datagram::connect(&unix("unixgram", &dir.path("none")), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
}

#[test]
fn waiting_ends_with_the_timeout_or_at_once() {
    let dir = Dir::new();
    for mut server in servers(&dir) {
        server.set_timeout(SHORT);
        let error = server.recv_from(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        server.set_nonblocking(true);
        let error = server.recv_from(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn a_source_can_be_chosen() {
    let dir = Dir::new();
    let mut server = Datagram::bind(&unix("unixgram", &dir.path("s"))).unwrap();
    server.set_timeout(LONG);
    let from = Addr::Path(dir.path("c"));
    let client = Datagram::connect(&unix("unixgram", &dir.path("s")), Some(&from)).unwrap();
    client.send(b"x").unwrap();
    assert_eq!(server.recv_from(&mut [0; 8]).unwrap().1, from);
    drop(client);
    assert!(!dir.path("c").exists());
}

#[test]
fn datagrams_that_the_kernel_drops_are_counted() {
    let mut server = Datagram::bind(&endpoint("udp4:127.0.0.1:0")).unwrap();
    server.set_timeout(LONG);
    assert_eq!(server.kernel_drops().unwrap(), 0);
    let client = Datagram::connect(&endpoint(&server.endpoint_text()), None).unwrap();
    let sent = 2000;
    for _ in 0..sent {
        client.send(&[0; 1024]).unwrap();
    }
    server.set_nonblocking(true);
    let mut received = 0;
    while server.recv_from(&mut [0; 1024]).is_ok() {
        received += 1;
    }
    assert!(received < sent, "the buffer holds all of it");
    assert_eq!(received + server.kernel_drops().unwrap(), sent);
}

#[test]
fn a_passed_datagram_socket_is_adopted() {
    let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = theirs.local_addr().unwrap();
    let mut server = Datagram::from_fd(theirs.into()).unwrap();
    server.set_timeout(LONG);
    assert_eq!(server.endpoint_text(), format!("udp://{addr}"));
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", addr).unwrap();
    assert_eq!(server.recv_from(&mut [0; 8]).unwrap().0.len, 1);
    let error = Datagram::from_fd(UnixStream::pair().unwrap().0.into()).unwrap_err();
    assert_eq!(error.to_string(), "the passed descriptor is not a datagram socket");
}

#[test]
fn a_kernel_without_reliable_datagrams_is_an_error_with_its_name() {
    for result in [
        Datagram::connect(&endpoint("rdm:127.0.0.1:9"), None),
        Datagram::bind(&endpoint("rdm:127.0.0.1:9")),
    ] {
        let Err(error) = result else {
            skipped("this kernel has a protocol for SOCK_RDM over IP");
            return;
        };
        assert_eq!(error.kind(), ErrorKind::System);
        assert_eq!(
            format!("{error:#}"),
            "cannot open rdm://127.0.0.1:9: ESOCKTNOSUPPORT (94): socket type not supported"
        );
        assert!(error.hint().unwrap().contains("SOCK_RDM"));
    }
}
