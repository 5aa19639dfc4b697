//! Listeners: every family, stale sockets that are replaced, passed ones, and errors.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use millpond::ErrorKind;
use millpond::net::{Addr, Endpoint, Interest, Listener};

use super::common::{Dir, accept, endpoint, skipped, soon, unix};
use crate::support::until;

fn port(listener: &Listener) -> u16 {
    listener.local_addr().unwrap().as_socket().unwrap().port()
}

#[test]
fn a_wildcard_listener_accepts_both_versions_of_ip_and_knows_its_port() {
    let listener = Listener::bind(&endpoint(":0"), 16).unwrap();
    let port = port(&listener);
    assert_eq!(listener.to_string(), format!("tcp://[::]:{port}"));
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    for host in ["127.0.0.1", "::1"] {
        let mut client = TcpStream::connect((host, port)).unwrap();
        let (stream, peer) = accept(&listener);
        let peer = peer.as_socket().unwrap();
        assert_eq!(peer.port(), client.local_addr().unwrap().port());
        assert_eq!(peer.ip().to_string(), host, "IPv4 is not shown as mapped IPv6");
        assert_eq!(stream.peer_addr().unwrap().as_socket(), Some(peer));
        assert_eq!(stream.local_addr().unwrap().as_socket(), client.peer_addr().ok());
        assert!(rustix::net::sockopt::tcp_nodelay(&stream).unwrap(), "it is inherited");
        assert!(rustix::net::sockopt::socket_keepalive(&stream).unwrap(), "it is inherited");
        client.write_all(b"x").unwrap();
        assert!(stream.wait(Interest::Read, Some(soon())).unwrap());
        assert_eq!(stream.try_read(&mut [0; 8]).unwrap(), 1);
    }
}

#[test]
fn a_listener_of_one_version_refuses_the_other() {
    let six = Listener::bind(&endpoint("tcp6://[::]:0"), 16).unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port(&six))).is_err());
    assert!(TcpStream::connect(("::1", port(&six))).is_ok());
    let four = Listener::bind(&endpoint("tcp4::0"), 16).unwrap();
    assert!(TcpStream::connect(("::1", port(&four))).is_err());
    assert!(TcpStream::connect(("127.0.0.1", port(&four))).is_ok());
    assert_eq!(four.endpoint_text(), format!("tcp4://0.0.0.0:{}", port(&four)));
}

#[test]
fn localhost_is_bound_at_both_loopback_addresses_with_one_port() {
    let listeners = Listener::bind_all(&endpoint("tcp://localhost:0"), 16).unwrap();
    let chosen = port(&listeners[0]);
    let mut hosts: Vec<_> = listeners.iter().map(ToString::to_string).collect();
    hosts.sort();
    let both = [format!("tcp://127.0.0.1:{chosen}"), format!("tcp://[::1]:{chosen}")];
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        skipped("IPv6");
        assert_eq!(hosts, both[..1]);
        return;
    }
    assert_eq!(hosts, both);
    for family in ["tcp4", "tcp6"] {
        let text = format!("{family}://localhost:0");
        assert_eq!(Listener::bind_all(&endpoint(&text), 16).unwrap().len(), 1, "{text}");
    }
    // One of two that is taken is an error, which names it.
    drop(listeners);
    let taken = Listener::bind(&endpoint("tcp://[::1]:0"), 16).unwrap();
    let text = format!("tcp://localhost:{}", port(&taken));
    let error = Listener::bind_all(&endpoint(&text), 16).unwrap_err();
    let message = format!("{error:#}");
    assert!(message.starts_with(&format!("cannot bind {text} at ")), "{message}");
    let named = format!(" at {}: address already in use", &taken.to_string()["tcp://".len()..]);
    assert!(message.contains(&named), "{message}");
}

#[test]
fn a_zone_is_looked_up_by_name_and_number() {
    for text in ["tcp://[::1%lo]:0", "tcp://[::1%1]:0"] {
        Listener::bind(&endpoint(text), 16).unwrap();
    }
    let error = Listener::bind(&endpoint("tcp://[::1%nowhere]:0"), 16).unwrap_err();
    assert!(error.to_string().contains("invalid zone \"nowhere\""), "{error}");
    let error = Listener::bind(&endpoint("tcp://[fe80::1]:0"), 16).unwrap_err();
    assert_eq!(format!("{error:#}"), "cannot bind tcp://[fe80::1]:0: invalid argument");
    assert!(error.hint().unwrap().contains("needs its zone"), "{error:?}");
}

#[test]
fn a_unix_listener_makes_its_file_and_removes_it() {
    let dir = Dir::new();
    let path = dir.path("s");
    let listener = Listener::bind(&unix("unix", &path), 16).unwrap();
    assert_eq!(listener.endpoint_text(), format!("unix:{}", path.display()));
    let _client = UnixStream::connect(&path).unwrap();
    let (_stream, peer) = accept(&listener);
    assert_eq!(peer, Addr::Unnamed);
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn an_abstract_name_needs_no_file() {
    let name = format!("@millpond-{}", std::process::id());
    let listener = Listener::bind(&endpoint(&format!("unix:{name}")), 16).unwrap();
    assert_eq!(listener.to_string(), format!("unix:{name}"));
    let again = Listener::bind(&endpoint(&format!("unix:{name}")), 16).unwrap_err();
    assert!(format!("{again:#}").ends_with("address already in use"), "{again:#}");
}

#[test]
fn a_stale_socket_file_is_replaced_whatever_its_type_was() {
    let dir = Dir::new();
    let path = dir.path("s");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    // A child of another test may have it for a moment.
    until("it is stale", || UnixStream::connect(&path).is_err());
    let listener = Listener::bind(&unix("unix", &path), 16).unwrap();
    UnixStream::connect(&path).unwrap();
    drop(listener);
    drop(UnixDatagram::bind(&path).unwrap());
    let client = UnixDatagram::unbound().unwrap();
    until("it is stale", || client.connect(&path).is_err());
    let listener = Listener::bind(&unix("unixpacket", &path), 16).unwrap();
    assert!(listener.is_packet());
    assert_eq!(listener.to_string(), format!("unixpacket:{}", path.display()));
}

#[test]
fn an_open_socket_and_a_plain_file_are_not_replaced() {
    let dir = Dir::new();
    let path = dir.path("s");
    let live = UnixListener::bind(&path).unwrap();
    let error = Listener::bind(&unix("unix", &path), 16).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Bind);
    assert!(format!("{error:#}").ends_with("address already in use"), "{error:#}");
    drop(live);
    std::fs::remove_file(&path).unwrap();

    let _live = UnixDatagram::bind(&path).unwrap();
    assert!(Listener::bind(&unix("unix", &path), 16).is_err(), "of another type, but live");
    std::fs::remove_file(&path).unwrap();

    std::fs::write(&path, "precious").unwrap();
    let error = Listener::bind(&unix("unix", &path), 16).unwrap_err();
    assert!(format!("{error:#}").ends_with("the file exists and is not a socket"), "{error:#}");
    assert!(error.hint().unwrap().contains("choose another path"));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn the_file_of_a_successor_is_not_removed() {
    let dir = Dir::new();
    let path = dir.path("s");
    let old = Listener::bind(&unix("unix", &path), 16).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _successor = UnixListener::bind(&path).unwrap();
    drop(old);
    assert!(path.exists());
}

#[test]
fn a_bind_error_names_the_endpoint_and_the_reason_with_a_hint() {
    let taken = Listener::bind(&endpoint("tcp://127.0.0.1:0"), 16).unwrap();
    let dir = Dir::new();
    let missing = dir.path("no/s");
    let mut table = vec![
        (taken.endpoint_text(), ": address already in use", "another program listens there"),
        ("tcp://192.0.2.1:0".to_owned(), ": cannot assign requested address", "[::] binds all"),
        (format!("unix:{}", missing.display()), ": no such file or directory", "does not exist"),
    ];
    let low = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let low = std::fs::read_to_string(low).unwrap().trim().parse::<u16>().unwrap();
    if rustix::process::geteuid().is_root() || low < 2 {
        skipped("this user may bind ports below 1024");
    } else {
        table.push(("tcp://127.0.0.1:1".into(), ": permission denied", "CAP_NET_BIND_SERVICE"));
    }
    for (text, why, hint) in table {
        let error = Listener::bind(&endpoint(&text), 16).unwrap_err();
        assert_eq!(format!("{error:#}"), format!("cannot bind {text}{why}"));
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
    }
    let error = Listener::bind(&endpoint("udp::0"), 16).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Endpoint);
}

#[test]
fn a_failed_bind_names_each_address_that_was_tried() {
    let taken = Listener::bind(&endpoint(":0"), 16).unwrap();
    let error = Listener::bind(&endpoint(&format!("localhost:{}", port(&taken))), 16).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(" at 127.0.0.1:") || text.contains(" at [::1]:"), "{text}");
    let error = Listener::bind(&endpoint("nowhere.invalid:1"), 16).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lookup);
    assert!(error.to_string().starts_with("cannot look up the host \"nowhere.invalid\""));
}

#[test]
fn a_limited_backlog_is_reported() {
    let most: u32 =
        std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
    let listener = Listener::bind(&endpoint("tcp://127.0.0.1:0"), most + 1).unwrap();
    assert_eq!(listener.backlog(), Some((most + 1, most)));
    let listener = Listener::bind(&endpoint("tcp://127.0.0.1:0"), 5).unwrap();
    assert_eq!(listener.backlog(), Some((5, 5)));
}

#[test]
fn a_passed_listener_is_adopted_and_its_file_stays() {
    let dir = Dir::new();
    let path = dir.path("s");
    let theirs = UnixListener::bind(&path).unwrap();
    let listener = Listener::from_fd(OwnedFd::from(theirs)).unwrap();
    assert!(listener.is_inherited());
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let mut client = UnixStream::connect(&path).unwrap();
    let (stream, _) = accept(&listener);
    assert_eq!(stream.try_write(b"hi").unwrap(), 2);
    client.read_exact(&mut [0; 2]).unwrap();
    drop(listener);
    assert!(path.exists());

    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = tcp.local_addr().unwrap();
    let listener = Listener::from_fd(tcp.into()).unwrap();
    assert_eq!(listener.endpoint_text(), Endpoint::from(addr).to_string());
}

#[test]
fn a_passed_descriptor_that_does_not_listen_is_refused() {
    let (one, _two) = UnixStream::pair().unwrap();
    let error = Listener::from_fd(one.into()).unwrap_err();
    assert_eq!(error.to_string(), "the passed descriptor is a socket that does not listen");
    let error = Listener::from_fd(UnixDatagram::unbound().unwrap().into()).unwrap_err();
    assert!(error.to_string().contains("without connections"));
    let error = Listener::from_fd(std::fs::File::open("/").unwrap().into()).unwrap_err();
    assert!(error.to_string().starts_with("the passed descriptor is not a socket"), "{error}");
}
