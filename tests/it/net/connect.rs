//! `millpond connect` against servers of the standard library: what it sends, prints and returns.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use millpond::net::{Listener, Packet};

use super::common::{Dir, accept, skipped, unix};
use crate::support::daemon::command;
use crate::support::ports::Refusing;

pub(crate) fn client(args: &[&str]) -> Command {
    let mut command = command(&[&["connect"], args].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    client(args).output().unwrap()
}

/// Runs it with bytes on standard input, which then ends.
pub(crate) fn feed(args: &[&str], input: &[u8]) -> Output {
    let mut child = client(args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    // That the client has gone is its own affair.
    let _ = feeder.join().unwrap();
    output
}

#[track_caller]
pub(crate) fn prints(output: &Output, code: i32, stdout: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout, "{error}");
    assert_eq!(output.status.code(), Some(code), "{error}");
}

/// Serves one connection: reads to its end, then sends it all back.
pub(crate) fn echo_once() -> (String, std::thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
        all
    });
    (endpoint, server)
}

#[test]
fn a_message_is_sent_and_its_response_is_printed() {
    let (endpoint, server) = echo_once();
    prints(&run(&[&endpoint, "Hello, \u{1}world"]), 0, "Received b\"Hello, \\x01world\"\n");
    assert_eq!(server.join().unwrap(), b"Hello, \x01world");
    let (endpoint, _server) = echo_once();
    prints(&run(&[&endpoint, "Hello", "--raw"]), 0, "Hello");
}

/// Before the message, and with the addresses of the connection.
#[test]
fn a_proxy_header_comes_first_if_it_is_asked_for() {
    let dir = Dir::new();
    let path = dir.path("s");
    for version in ["v1", "v2"] {
        for extra in [&["mill"][..], &["--probe"], &["mill", "--wait-for", "5s"]] {
            let message: &[u8] = if extra[0] == "mill" { b"mill" } else { b"" };
            let (endpoint, server) = echo_once();
            let args =
                [&[&endpoint, "--from", "127.0.0.1", "--send-proxy", version], extra].concat();
            let output = run(&args);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let sent = server.join().unwrap();
            let port: u16 = endpoint.rsplit(':').next().unwrap().parse().unwrap();
            let start = match version {
                "v1" => b"PROXY TCP4 127.0.0.1 127.0.0.1 ".to_vec(),
                _ => b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec(),
            };
            let end = match version {
                "v1" => format!(" {port}\r\n").into_bytes(),
                _ => port.to_be_bytes().to_vec(),
            };
            let shown = sent.escape_ascii();
            assert!(sent.starts_with(&start), "{shown}");
            assert!(sent.ends_with(&[&end[..], message].concat()), "{shown}");
        }
        // A Unix socket has no addresses that a header could name.
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all
        });
        let endpoint = unix("unix", &path).to_string();
        let output = run(&[&endpoint, "mill", "--send-proxy", version]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let expected: &[u8] = match version {
            "v1" => b"PROXY UNKNOWN\r\nmill",
            _ => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0mill",
        };
        assert_eq!(server.join().unwrap(), expected);
        std::fs::remove_file(&path).unwrap();
    }
    let output = run(&["udp://127.0.0.1:9", "mill", "--send-proxy", "v1"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.starts_with("error: udp://127.0.0.1:9 cannot begin with a PROXY header"));
}

#[test]
fn the_verbose_option_prints_both_addresses() {
    let (endpoint, _server) = echo_once();
    let output = run(&[&endpoint, "x", "-v", "--from", "127.0.0.3"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with(&format!("{endpoint}: local 127.0.0.3:")), "{error}");
    assert!(error.trim_end().ends_with(&format!("peer {}", &endpoint["tcp://".len()..])));
}

#[test]
fn a_connection_that_the_server_keeps_open_is_closed_after_the_idle_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hi").unwrap();
        // Until the client has gone.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        stream
    });
    let output = run(&[&endpoint, "x", "-i", "0.05", "--no-shutdown"]);
    prints(&output, 0, "Received b\"hi\"\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("kept the connection open"));
    drop(server.join().unwrap());
}

#[test]
fn standard_input_and_output_are_relayed_at_the_same_time_and_completely() {
    let input: Vec<u8> = (0..4_000_000_u32).map(|i| (i % 251) as u8).collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Sends while it receives, so that neither side may wait for the other to finish.
        std::io::copy(&mut stream.try_clone().unwrap(), &mut stream).unwrap()
    });
    let output = feed(&[&endpoint], &input);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == input, "{} bytes came back", output.stdout.len());
    assert_eq!(server.join().unwrap(), input.len() as u64);
}

#[test]
fn one_direction_only_is_possible() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"only this").unwrap();
        drop(stream);
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"not this").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    prints(&run(&[&endpoint, "--recv-only"]), 0, "only this");
    prints(&feed(&[&endpoint, "--send-only"], &[7; 100_000]), 0, "");
    assert_eq!(server.join().unwrap().len(), 100_000);
}

#[test]
fn an_idle_conversation_ends_with_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let output = run(&[&endpoint, "-i", "0.05", "--recv-only"]);
    prints(&output, 1, "");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(error, format!("error: nothing sent or received for 50ms at {endpoint}\n"));
}

#[test]
fn messages_are_exchanged_over_each_type_of_unix_socket() {
    let dir = Dir::new();
    let path = dir.path("s");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Closing with input unread would be a reset.
        stream.read_to_end(&mut Vec::new()).unwrap();
        stream.write_all(b"stream").unwrap();
    });
    prints(&run(&[&format!("unix:{}", path.display()), "x"]), 0, "Received b\"stream\"\n");
    server.join().unwrap();

    let path = dir.path("g");
    let socket = UnixDatagram::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let mut buf = [0; 8];
        let (len, from) = socket.recv_from(&mut buf).unwrap();
        socket.send_to_addr(&buf[..len], &from).unwrap();
    });
    prints(&run(&[&format!("unixgram:{}", path.display()), "gram"]), 0, "Received b\"gram\"\n");
    server.join().unwrap();

    let listener = Listener::bind(&unix("unixpacket", &dir.path("p")), 16).unwrap();
    let endpoint = listener.endpoint_text();
    let server = std::thread::spawn(move || {
        let packet = Packet::try_from(accept(&listener).0).unwrap();
        assert!(packet.recv(&mut [0; 8]).unwrap().len == 1);
        packet.send(b"one").unwrap();
        packet.send(b"two").unwrap();
    });
    prints(&run(&[&endpoint, "x"]), 0, "Received b\"one\"\nReceived b\"two\"\n");
    server.join().unwrap();
}

#[test]
fn each_message_is_one_datagram_and_a_closed_peer_is_an_error() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut buf = [0; 100];
        for _ in 0..2 {
            let (len, from) = socket.recv_from(&mut buf).unwrap();
            socket.send_to(&buf[..len], from).unwrap();
        }
    });
    prints(&run(&[&endpoint, "one"]), 0, "Received b\"one\"\n");
    prints(&feed(&[&endpoint, "-i", "0.3"], b"two"), 0, "two");
    server.join().unwrap();

    let output = run(&[&endpoint, "three"]);
    prints(&output, 1, "");
    let error = String::from_utf8_lossy(&output.stderr);
    let expected = format!("error: nothing received from {endpoint}: connection refused\n");
    assert!(error.starts_with(&expected) && error.contains("hint: no program listens"), "{error}");

    let long = "x".repeat(66_000);
    let output = run(&[&endpoint, &long]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("hint: EMSGSIZE: a UDP datagram"));
}

#[test]
fn a_probe_exits_with_the_result_of_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let live = format!("tcp://{}", listener.local_addr().unwrap());
    prints(&run(&["--probe", &live]), 0, "");
    let refused = "ECONNREFUSED (111): Connection refused\n";
    let (tcp, udp) = (Refusing::tcp(), Refusing::udp());
    prints(&run(&["--probe", &format!("tcp://{}", tcp.addr)]), 1, refused);
    prints(&run(&["--probe", &format!("udp://{}", udp.addr)]), 1, refused);
    let dir = Dir::new();
    let missing = format!("unixpacket:{}", dir.path("s").display());
    prints(&run(&["--probe", &missing]), 1, "ENOENT (2): No such file or directory\n");
}

#[test]
fn waiting_ends_when_the_server_listens_or_the_time_is_over() {
    let dir = Dir::new();
    let endpoint = unix("unix", &dir.path("s"));
    let child = client(&["--probe", "--wait-for", "20", &endpoint.to_string()]).spawn().unwrap();
    let listener = Listener::bind(&endpoint, 16).unwrap();
    prints(&child.wait_with_output().unwrap(), 0, "");
    drop(listener);

    let start = Instant::now();
    let output = run(&["--wait-for", "0.2", &endpoint.to_string(), "x"]);
    prints(&output, 1, "");
    assert!(start.elapsed() >= Duration::from_millis(200));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("retried for 200ms"), "{error}");
}

#[test]
fn each_kind_of_failure_has_its_own_exit_code() {
    let refusing = Refusing::tcp();
    let unused_port = format!("tcp://{}", refusing.addr);
    let table: [(&[&str], i32, &str); 8] = [
        (&[&unused_port, "x"], 1, "connection refused\nhint: no program listens there"),
        (&["tcp:localhost", "x"], 2, "the port is missing\nhint: an endpoint looks like"),
        (&["nowhere.invalid:1", "x"], 69, "cannot look up the host \"nowhere.invalid\""),
        (&["-6", "tcp:127.0.0.1:1"], 2, "invalid host 127.0.0.1: expected an IPv6 address"),
        (&["--from", "here", &unused_port], 2, "invalid source address \"here\": expected IP"),
        (&["-w", "0", &unused_port], 2, "expected a time"),
        (&["fd:3"], 2, "invalid endpoint fd:3 for a stream: expected tcp: or unix:"),
        (&["rdm:127.0.0.1:1"], 1, "ESOCKTNOSUPPORT (94)"),
    ];
    for (args, code, expected) in table {
        let output = run(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.starts_with("error: ") && error.contains(expected), "{args:?}: {error}");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    }
}

#[test]
fn a_host_is_pinged() {
    let table: [&[&str]; 3] = [
        &["icmp:127.0.0.1", "--count", "2", "--interval", "0.01"],
        &["icmp:127.0.0.1", "--count", "2", "--interval", "0.01", "--own-header", "--ttl", "9"],
        &["-6", "icmp:localhost", "hello", "--count", "2", "--interval", "0.01"],
    ];
    for args in table {
        let output = run(args);
        let error = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(77) {
            assert!(error.contains("hint: raw sockets need CAP_NET_RAW"), "{error}");
            skipped(&format!("{error}"));
            continue;
        }
        if output.status.code() == Some(69) {
            skipped(&format!("localhost has no IPv6 address here: {error}"));
            continue;
        }
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("seq=2") && text.contains("2 sent, 2 received, 0% lost"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }
}

#[test]
fn a_raw_packet_is_sent_and_received() {
    // On loopback the socket sees its own packet: RFC 3692 gives 253 to experiments.
    let output = run(&["ip4:253:127.0.0.1", "raw"]);
    if output.status.code() == Some(77) {
        skipped(&String::from_utf8_lossy(&output.stderr));
        return;
    }
    // Another test may use the protocol just now.
    assert!(output.stdout.starts_with(b"Received b\""));
}
