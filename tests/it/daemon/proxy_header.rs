//! Endpoints for proxies that send a PROXY header.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use rustix::process::Signal;

use crate::support::daemon::{Daemon, activated, command, run, text};
use crate::support::{connect, connect_from, exchange};

const HEADER: &str = "PROXY TCP4 192.0.2.7 10.0.0.1 50000 80\r\n";
const GET: &str = "GET /mill HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// A request with a header gets its response.
#[track_caller]
fn serves(addr: SocketAddr) {
    let response = exchange(addr, format!("{HEADER}{GET}").as_bytes());
    assert_eq!((response.status, response.text()), (200, "Hello, world!"));
}

#[test]
fn the_access_log_has_the_client_of_the_header_and_faults_are_logged_once_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let mut daemon = Daemon::start(command(&[
        "serve",
        "--bind",
        "tcp://127.0.0.1:0?proxy=require",
        "--trusted-proxy",
        "127.0.0.1",
        "--access-log",
        "clf",
        "--access-log-file",
        text(&path),
    ]));
    let addr = daemon.addr();
    for source in [[127, 0, 0, 1], [127, 0, 0, 2]] {
        for _ in 0..3 {
            let mut client = connect_from(source, addr);
            client.write_all(GET.as_bytes()).unwrap();
            let mut all = Vec::new();
            let _ = client.read_to_end(&mut all);
            assert!(all.is_empty(), "closed without a response");
        }
    }
    serves(addr);
    let endpoint = format!("tcp://{addr}");
    for version in ["v1", "v2"] {
        let ran = run(&["connect", "--probe", "--send-proxy", version, &endpoint]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0), "{:#?}", daemon.log);
    let lines = |text: &str| daemon.log.iter().filter(|line| line.contains(text)).count();
    assert_eq!(lines("did not begin with a PROXY header"), 1, "{:#?}", daemon.log);
    assert_eq!(lines("is not in proxy.trusted"), 1, "{:#?}", daemon.log);
    let log = std::fs::read_to_string(&path).unwrap();
    assert!(log.starts_with("192.0.2.7 - - "), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn a_passed_socket_may_be_for_proxies() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let args = ["--bind", "fd:0?priority=high&proxy=require", "--trusted-proxy", "127.0.0.0/8"];
    let mut daemon = Daemon::start(activated(OwnedFd::from(listener), &args));
    daemon.addr();
    serves(addr);
    let mut plain = connect(addr);
    plain.write_all(GET.as_bytes()).unwrap();
    let mut all = Vec::new();
    let _ = plain.read_to_end(&mut all);
    assert!(all.is_empty(), "closed without a response");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0), "{:#?}", daemon.log);
}
