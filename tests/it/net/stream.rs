//! Connected sockets: TCP, Unix streams and sequenced packets, with their blocking calls.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use millpond::ErrorKind;
use millpond::net::{Addr, Interest, Listener, Packet, Stream, describe};

use super::common::{Dir, accept, endpoint, unix};
use crate::support::ports::Refusing;

const LONG: Option<Duration> = Some(Duration::from_secs(20));
const SHORT: Duration = Duration::from_millis(30);

/// A connection over each family of streams: both ends.
fn pairs(dir: &Dir) -> Vec<(Stream, Stream, Listener)> {
    let name = format!("unix:@millpond-stream-{}", dir.path("x").display());
    let texts = [
        "tcp://127.0.0.1:0".to_owned(),
        "tcp6://[::1]:0".to_owned(),
        format!("unix:{}", dir.path("s").display()),
        name,
    ];
    let connect = |text: String| {
        let listener = Listener::bind(&endpoint(&text), 16).unwrap();
        let mut client = Stream::connect(&endpoint(&listener.endpoint_text()), LONG).unwrap();
        let (mut server, _) = accept(&listener);
        client.set_timeout(LONG);
        server.set_timeout(LONG);
        (client, server, listener)
    };
    texts.map(connect).into_iter().collect()
}

#[test]
fn bytes_arrive_over_every_family_and_both_ends_have_addresses() {
    let dir = Dir::new();
    for (mut client, mut server, listener) in pairs(&dir) {
        client.send_all(b"Hello, ").unwrap();
        client.write_all(b"world").unwrap();
        client.shutdown_write().unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "Hello, world");
        assert_eq!(server.send(b"bye").unwrap(), 3);
        let mut buf = [0; 16];
        assert_eq!(client.recv(&mut buf).unwrap(), 3);

        assert_eq!(client.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert_eq!(server.local_addr().unwrap(), listener.local_addr().unwrap());
        assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
        assert!(client.as_raw_fd() > 2);
        // close(2): the other end reads the end.
        drop(server);
        assert_eq!(client.recv(&mut buf).unwrap(), 0);
    }
}

#[test]
fn a_timeout_ends_each_blocking_call_and_non_blocking_ones_return_at_once() {
    let dir = Dir::new();
    for (mut client, server, _listener) in pairs(&dir) {
        let mut buf = [0; 8];
        client.set_timeout(Some(SHORT));
        let start = Instant::now();
        assert_eq!(client.recv(&mut buf).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= SHORT);

        // More than any buffer holds, while the peer does not read.
        let error = client.send_all(&vec![0; 64 << 20]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        client.set_nonblocking(true);
        assert_eq!(client.timeout(), Some(Duration::ZERO));
        assert_eq!(client.recv(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // The kernel may still be making room for a while.
        let full = (0..1 << 20).find_map(|_| client.send(&[0; 4096]).err()).unwrap();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        client.set_nonblocking(false);
        assert_eq!(client.timeout(), None);
        drop(server);
    }
}

#[test]
fn send_may_be_partial_and_send_all_is_not() {
    let dir = Dir::new();
    for (client, mut server, _listener) in pairs(&dir) {
        let bytes = vec![7; 32 << 20];
        let part = client.send(&bytes).unwrap();
        assert!(part < bytes.len(), "no buffer holds it all");
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            server.read_to_end(&mut all).unwrap();
            all.len()
        });
        client.send_all(&bytes[part..]).unwrap();
        drop(client);
        assert_eq!(reader.join().unwrap(), bytes.len());
    }
}

#[test]
fn a_refused_connection_is_an_error_with_address_reason_and_number() {
    let refusing = Refusing::tcp();
    let gone = refusing.addr;
    let error = Stream::connect(&gone.into(), LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    let expected = format!("cannot connect to tcp://{gone}");
    assert_eq!(error.to_string(), expected);
    assert_eq!(format!("{error:#}"), format!("{expected}: connection refused"));
    assert_eq!(error.hint(), Some("no program listens there"));
    let bare = Stream::connect_ex(&Addr::Ip(gone), LONG).unwrap_err();
    assert_eq!(describe(&bare), "ECONNREFUSED (111): Connection refused");

    let named = format!("tcp4://localhost:{}", gone.port());
    let error = Stream::connect(&endpoint(&named), LONG).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        format!("cannot connect to {named} at {gone}: connection refused")
    );

    let dir = Dir::new();
    let error = Stream::connect(&unix("unix", &dir.path("none")), LONG).unwrap_err();
    assert!(format!("{error:#}").ends_with(": no such file or directory"), "{error:#}");
    let error = Stream::connect(&endpoint("udp:127.0.0.1:1"), LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Endpoint);
}

#[test]
fn connecting_to_a_full_backlog_ends_with_the_timeout() {
    let dir = Dir::new();
    let listener = Listener::bind(&unix("unix", &dir.path("s")), 0).unwrap();
    let addr = listener.local_addr().unwrap();
    let _first = Stream::connect_ex(&addr, LONG).unwrap();
    let start = Instant::now();
    let error = Stream::connect_ex(&addr, Some(SHORT)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(110), "{error}");
    assert!(start.elapsed() >= SHORT);

    let listener = Listener::bind(&endpoint("tcp:127.0.0.1:0"), 0).unwrap();
    let addr = listener.local_addr().unwrap();
    let _first = Stream::connect_ex(&addr, LONG).unwrap();
    let error = Stream::connect_ex(&addr, Some(SHORT)).unwrap_err();
    assert_eq!(describe(&error), "ETIMEDOUT (110): Connection timed out");
}

#[test]
fn a_source_address_is_bound_first() {
    let listener = Listener::bind(&endpoint("tcp:127.0.0.1:0"), 16).unwrap();
    let to = endpoint(&listener.endpoint_text());
    let from = Addr::Ip("127.0.0.2:0".parse().unwrap());
    let client = Stream::connect_from(&to, Some(&from), LONG).unwrap();
    let (_server, peer) = accept(&listener);
    assert_eq!(peer.as_socket().unwrap().ip().to_string(), "127.0.0.2");
    assert_eq!(peer, client.local_addr().unwrap());

    let dir = Dir::new();
    let listener = Listener::bind(&unix("unix", &dir.path("s")), 16).unwrap();
    let from = Addr::Path(dir.path("c"));
    let to = unix("unix", &dir.path("s"));
    let _client = Stream::connect_from(&to, Some(&from), LONG).unwrap();
    let (_server, peer) = accept(&listener);
    assert_eq!(peer, from);
    assert!(!dir.path("c").exists(), "a connection needs no file of its own");
}

#[test]
fn a_stream_converts_from_and_to_a_descriptor() {
    let dir = Dir::new();
    let listener = UnixListener::bind(dir.path("s")).unwrap();
    let client = std::os::unix::net::UnixStream::connect(dir.path("s")).unwrap();
    let mut stream = Stream::from(OwnedFd::from(client));
    let (mut server, _) = listener.accept().unwrap();
    // Though the descriptor blocks, this call does not.
    assert_eq!(stream.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    stream.set_timeout(LONG);
    server.write_all(b"x").unwrap();
    assert_eq!(stream.recv(&mut [0]).unwrap(), 1);
    let mut again = std::os::unix::net::UnixStream::from(OwnedFd::from(stream));
    again.write_all(b"y").unwrap();
    server.read_exact(&mut [0]).unwrap();
}

#[test]
fn records_keep_their_boundaries_and_truncation_is_reported() {
    let dir = Dir::new();
    let listener = Listener::bind(&unix("unixpacket", &dir.path("s")), 16).unwrap();
    let mut client = Packet::connect(&endpoint(&listener.endpoint_text()), None, LONG).unwrap();
    let mut server = Packet::try_from(accept(&listener).0).unwrap();
    client.set_timeout(LONG);
    server.set_timeout(Some(SHORT));
    for record in [&b"one"[..], b"three", b"end"] {
        client.send(record).unwrap();
    }
    let mut buf = [0; 4];
    let one = server.recv(&mut buf).unwrap();
    assert_eq!((one.len, one.is_truncated(), &buf[..3]), (3, false, &b"one"[..]));
    let three = server.recv(&mut buf).unwrap();
    assert_eq!((three.len, three.full, three.is_truncated()), (4, 5, true));
    assert_eq!(server.recv(&mut buf).unwrap().len, 3);
    assert_eq!(server.recv(&mut buf).unwrap_err().kind(), io::ErrorKind::TimedOut);
    server.set_nonblocking(true);
    assert_eq!(server.recv(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(client.peer_addr().unwrap(), listener.local_addr().unwrap());
    assert!(client.wait(Interest::Write, None).unwrap());

    let error = client.send(&vec![0; 64 << 20]).unwrap_err();
    assert!(describe(&error).starts_with("EMSGSIZE (90)"), "{error}");
    client.shutdown_write().unwrap();
    assert_eq!(server.recv(&mut buf).unwrap().len, 0);
}

#[test]
fn a_stream_does_not_convert_to_a_packet_socket() {
    let dir = Dir::new();
    for (client, _server, _listener) in pairs(&dir) {
        assert_eq!(Packet::try_from(client).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
