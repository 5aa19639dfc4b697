//! `millpond connect` on a terminal, without privileges, with host names of several addresses, with
//! messages that are too long, and with timeouts.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use millpond::net::{Listener, Stream};
use rustix::net::sockopt::set_socket_send_buffer_size;

use super::common::{Dir, skipped, unix};
use super::connect::{client, echo_once, feed, prints, run};
use crate::support::ports::Refusing;
use crate::support::{PATIENCE, uninterrupted, until};

const MILLPOND: &str = env!("CARGO_BIN_EXE_millpond");

/// Runs the client in a namespace of its own, which the shell prepares by `script`, with what it
/// calls `"$0"`. `None`, said aloud, where the user may not make one.
fn apart(namespace: &str, script: &str, zero: &str, args: &[&str]) -> Option<Output> {
    let script = format!("{script} || exit 99; exec setpriv --bounding-set=-net_raw \"$@\"");
    let output = Command::new("unshare")
        .args(["--map-root-user", namespace, "sh", "-c", &script, zero, MILLPOND, "connect"])
        .args(args)
        .stdin(Stdio::null())
        .output();
    let refused = match output {
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.code() != Some(99) && !error.starts_with("unshare: ") {
                return Some(output);
            }
            error
        }
        Err(error) => error.to_string(),
    };
    skipped(&format!("no namespace can be made with unshare(1): {refused}"));
    None
}

#[test]
fn line_ends_are_sent_as_crlf_with_the_option() {
    let (endpoint, server) = echo_once();
    prints(&run(&["--crlf", &endpoint, "a\nb\r\n\n", "--raw"]), 0, "a\r\nb\r\n\r\n");
    server.join().unwrap();
    let (endpoint, server) = echo_once();
    prints(&feed(&["--crlf", &endpoint], b"a\nb\r\n\n"), 0, "a\r\nb\r\n\r\n");
    server.join().unwrap();
    // Otherwise bytes are sent as they are.
    let (endpoint, server) = echo_once();
    prints(&feed(&[&endpoint], b"a\n"), 0, "a\n");
    server.join().unwrap();
}

#[test]
fn a_line_that_is_typed_at_a_terminal_ends_in_crlf() {
    for (flag, expected) in
        [("", &b"GET / HTTP/1.0\r\n\r\n"[..]), ("--crlf=never", b"GET / HTTP/1.0\n\n")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = format!("{MILLPOND} connect {flag} tcp://{}", listener.local_addr().unwrap());
        // script(1) runs it on a terminal of its own, and types what it reads.
        let child = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let Ok(mut child) = child else {
            skipped("script(1) is not installed");
            return;
        };
        child.stdin.as_mut().unwrap().write_all(b"GET / HTTP/1.0\n\n").unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut received = vec![0; expected.len()];
        stream.read_exact(&mut received).unwrap();
        assert_eq!(received, expected);
        drop(stream);
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}

#[test]
fn a_message_may_be_any_bytes() {
    let (endpoint, server) = echo_once();
    let message = OsStr::from_bytes(b"\xff");
    let output = client(&[&endpoint]).arg(message).output().unwrap();
    prints(&output, 0, "Received b\"\\xff\"\n");
    assert_eq!(server.join().unwrap(), b"\xff");

    let (endpoint, server) = echo_once();
    prints(&run(&["--hex", &endpoint, "00 ff\n0a"]), 0, "Received b\"\\x00\\xff\\n\"\n");
    assert_eq!(server.join().unwrap(), b"\x00\xff\n");

    let output = run(&["--hex", &endpoint, "0g"]);
    prints(&output, 2, "");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.starts_with(
            "error: invalid byte \"0g\" in MESSAGE: expected two hexadecimal digits\n"
        ),
        "{error}"
    );
}

#[test]
fn the_client_ends_when_its_output_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let table: [&[&str]; 3] =
        [&[&endpoint], &[&endpoint, "--recv-only"], &[&endpoint, "x", "-w", "600"]];
    for args in table {
        // Standard input stays open, and the server sends nothing.
        let mut child = client(args).stdin(Stdio::piped()).spawn().unwrap();
        let (_stream, _) = listener.accept().unwrap();
        drop(child.stdout.take());
        let mut status = None;
        until("the client ends", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        let mut error = String::new();
        child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert_eq!((status.unwrap().code(), error.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_verbose_probe_prints_the_addresses_or_the_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let live = format!("tcp://{}", listener.local_addr().unwrap());
    let output = run(&["--probe", "-v", &live]);
    prints(&output, 0, "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with(&format!("{live}: local 127.0.0.1:")), "{error}");
    assert!(error.trim_end().ends_with(&format!("peer {}", &live["tcp://".len()..])), "{error}");

    let refusing = Refusing::tcp();
    let gone = format!("tcp://{}", refusing.addr);
    let output = run(&["--probe", "-v", &gone]);
    prints(&output, 1, "ECONNREFUSED (111): Connection refused\n");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, format!("cannot connect to {gone}: connection refused\n"));
}

#[test]
fn a_probe_names_the_errno_of_sockets_that_the_kernel_does_not_make() {
    prints(
        &run(&["--probe", "rdm:127.0.0.1:1"]),
        1,
        "ESOCKTNOSUPPORT (94): Socket type not supported\n",
    );
}

#[test]
fn waiting_shows_its_progress_on_a_terminal_in_one_line() {
    let dir = Dir::new();
    let endpoint = format!("unix:{}", dir.path("not-there").display());
    let line = format!("stty cols 40; {MILLPOND} connect --probe --wait-for 1 {endpoint}");
    // script(1) runs it on a terminal of its own.
    let output = Command::new("script").args(["-qec", &line, "/dev/null"]).output();
    let Ok(output) = output else {
        skipped("script(1) is not installed");
        return;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = text.split("\r\u{1b}[K").collect();
    assert_eq!(lines.pop(), Some("ENOENT (2): No such file or directory\r\n"), "{text:?}");
    assert!(lines.len() > 2, "the first attempt and each failure are shown: {text:?}");
    assert!(lines.iter().any(|line| line.starts_with("connecting to unix:")), "{text:?}");
    assert!(lines.iter().any(|line| line.starts_with("cannot connect to")), "{text:?}");
    assert!(lines.iter().all(|line| line.chars().count() < 40), "{text:?}");

    // Elsewhere it would be in the way.
    let output = run(&["--probe", "--wait-for", "0.1", &endpoint]);
    assert_eq!(output.stderr, b"");
}

#[test]
fn a_truncated_datagram_prints_a_warning() {
    let dir = Dir::new();
    let path = dir.path("g");
    let socket = UnixDatagram::bind(&path).unwrap();
    set_socket_send_buffer_size(&socket, 1 << 20).unwrap();
    let server = std::thread::spawn(move || {
        let (_, from) = socket.recv_from(&mut [0; 8]).unwrap();
        socket.send_to_addr(&[b'x'; 300_000], &from).map_err(|error| error.kind())
    });
    let output = run(&[&format!("unixgram:{}", path.display()), "long", "--raw", "-w", "5"]);
    if server.join().unwrap().is_err() {
        skipped("net.core.wmem_max does not allow a datagram of this length");
        return;
    }
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(error, "warning: datagram of 300000 bytes cut to 262144\n");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 262_144));
}

#[test]
fn an_oversize_message_is_refused_with_the_limit() {
    let output = run(&["udp:127.0.0.1:9", &"x".repeat(65_508)]);
    prints(&output, 1, "");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.starts_with("error: cannot send to udp://127.0.0.1:9: message too long"),
        "{error}"
    );
    assert!(error.contains("hint: EMSGSIZE: a UDP datagram carries at most 65507"), "{error}");
}

#[test]
fn no_shutdown_keeps_the_sending_side_open_after_the_input() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 2]).unwrap();
        // The end would come right behind the input.
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let rest = uninterrupted(|| stream.read(&mut [0; 8])).map_err(|error| error.kind());
        stream.write_all(b"bye").unwrap();
        rest
    });
    prints(&feed(&[&endpoint, "--no-shutdown"], b"hi"), 0, "bye");
    assert_eq!(server.join().unwrap(), Err(ErrorKind::WouldBlock));
}

#[test]
fn connecting_ends_with_the_timeout() {
    let dir = Dir::new();
    let listener = Listener::bind(&unix("unix", &dir.path("s")), 0).unwrap();
    let _first = Stream::connect_ex(&listener.local_addr().unwrap(), Some(PATIENCE)).unwrap();
    let endpoint = listener.endpoint_text();
    let output = run(&["-w", "0.05", &endpoint, "x"]);
    prints(&output, 1, "");
    let error = String::from_utf8_lossy(&output.stderr);
    let expected = format!("error: cannot connect to {endpoint}: connection timed out\n");
    assert!(error.starts_with(&expected) && error.contains("hint: no response"), "{error}");
    prints(
        &run(&["-w", "0.05", "--probe", &endpoint]),
        1,
        "ETIMEDOUT (110): Connection timed out\n",
    );
}

#[test]
fn each_address_of_a_host_is_tried_in_order_and_each_failure_is_named() {
    let dir = Dir::new();
    let hosts = dir.path("hosts");
    std::fs::write(&hosts, "127.0.0.91 two.test\n127.0.0.92 two.test\n").unwrap();
    let hosts = hosts.to_str().unwrap();
    let looked_up = |args: &[&str]| apart("--mount", "mount --bind \"$0\" /etc/hosts", hosts, args);

    // A port that is taken at the second address only.
    let listener = TcpListener::bind("127.0.0.92:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        stream.write_all(b"second").unwrap();
    });
    let endpoint = format!("tcp://two.test:{port}");
    let Some(output) = looked_up(&[&endpoint, "x"]) else { return };
    prints(&output, 0, "Received b\"second\"\n");
    server.join().unwrap();

    let output = looked_up(&[&endpoint, "x"]).unwrap();
    prints(&output, 1, "");
    let error = String::from_utf8_lossy(&output.stderr);
    let expected = format!(
        "error: cannot connect to {endpoint} at 127.0.0.91:{port}: connection refused; \
         at 127.0.0.92:{port}: connection refused\n"
    );
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn without_the_privilege_a_ping_falls_back_to_datagrams() {
    let script = "ip link set lo up && echo 0 0 > /proc/sys/net/ipv4/ping_group_range";
    let args = ["icmp:127.0.0.1", "-v", "--count", "2", "--interval", "0.01"];
    let Some(output) = apart("--net", script, "sh", &args) else { return };
    let (text, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(error.contains("over the ICMP datagram socket"), "{error}");
    assert!(text.contains("64 bytes from 127.0.0.1: seq=2 time="), "{text}");
    assert!(text.contains("2 sent, 2 received, 0% lost"), "{text}");
}

#[test]
fn without_the_privilege_and_the_fallback_the_exit_code_is_77_with_a_hint() {
    let table: [(&[&str], &str, bool); 4] = [
        (&["icmp:127.0.0.1", "--count", "1"], "cannot ping icmp:127.0.0.1", true),
        (&["icmp:127.0.0.1", "--own-header"], "cannot ping icmp:127.0.0.1", false),
        (&["--probe", "icmp:127.0.0.1"], "cannot connect to icmp:127.0.0.1", false),
        (&["ip4:253:127.0.0.1", "x"], "cannot connect to ip4:253:127.0.0.1", false),
    ];
    for (args, what, range) in table {
        let Some(output) = apart("--net", "ip link set lo up", "sh", args) else { return };
        prints(&output, 77, "");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.starts_with(&format!("error: {what}: ")), "{error}");
        assert!(error.contains("hint: raw sockets need CAP_NET_RAW"), "{error}");
        assert_eq!(error.contains("ping_group_range"), range, "{error}");
    }
}
