//! What each signal does to the daemon.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::daemon::{Daemon, command, get, root, text};
use crate::support::{connect, read_last_response, read_response};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[test]
fn term_and_int_drain_and_log_a_report() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = Daemon::serve(&[]);
        let addr = daemon.addr();
        get(addr, "/");
        daemon.signal(signal);
        assert_eq!(daemon.end().code(), Some(0), "{:#?}", daemon.log);
        assert!(daemon.has_logged("stopped: served 1"), "{:#?}", daemon.log);
    }
}

#[test]
fn a_request_that_has_begun_is_served_before_the_exit() {
    let mut daemon = Daemon::serve(&["-v"]);
    let addr = daemon.addr();
    let mut stream = connect(addr);
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    // Another one's response shows that the first one was accepted.
    get(addr, "/");
    daemon.signal(Signal::TERM);
    daemon.wait_for("listeners closed");
    stream.write_all(b"Host: a.test\r\n\r\n").unwrap();
    let response = read_last_response(&mut stream);
    assert_eq!(response.status, 200);
    assert!(response.has_connection_option("close"), "{response:?}");
    assert_eq!(daemon.end().code(), Some(0), "{:#?}", daemon.log);
}

#[test]
fn a_lame_duck_accepts_and_serves_and_closes_each_connection() {
    let mut daemon = Daemon::serve(&["--lame-duck", "1h", "--drain", "1h"]);
    let addr = daemon.addr();
    let mut kept = connect(addr);
    kept.write_all(GET).unwrap();
    assert!(!read_response(&mut kept).has_connection_option("close"));
    daemon.signal(Signal::TERM);
    daemon.wait_for("lame duck: serving for 3600s before the drain");
    for mut stream in [kept, connect(addr), connect(addr)] {
        stream.write_all(GET).unwrap();
        let response = read_last_response(&mut stream);
        assert_eq!(response.status, 200);
        assert!(response.has_connection_option("close"), "{response:?}");
    }
    daemon.signal(Signal::QUIT);
    daemon.wait_for("state: lame duck, live ");
    daemon.wait_for("state: accept: interrupted");
    daemon.signal(Signal::HUP);
    daemon.wait_for("settings not reloaded: the server is stopping");
    assert!(!daemon.has_logged("stopping:"), "{:#?}", daemon.log);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(143), "{:#?}", daemon.log);
}

#[test]
fn a_lame_duck_drains_after_its_time() {
    let mut daemon = Daemon::serve(&["--lame-duck", "200ms"]);
    let addr = daemon.addr();
    get(addr, "/");
    daemon.signal(Signal::TERM);
    daemon.wait_for("lame duck: serving for 200ms");
    get(addr, "/");
    daemon.wait_for("stopping: finishing requests in progress");
    assert_eq!(daemon.end().code(), Some(0), "{:#?}", daemon.log);
    assert!(daemon.has_logged("stopped: served 2"), "{:#?}", daemon.log);
}

#[test]
fn connections_that_outlast_the_drain_are_cut_off_and_change_the_exit_code() {
    let mut daemon = Daemon::serve(&["--drain", "100ms"]);
    let addr = daemon.addr();
    let mut stream = connect(addr);
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    get(addr, "/");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(75), "{:#?}", daemon.log);
    assert!(daemon.has_logged("cut off 1"), "{:#?}", daemon.log);
}

#[test]
fn a_second_signal_ends_the_daemon_at_once() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut daemon = Daemon::serve(&["--drain", "1h"]);
        let addr = daemon.addr();
        let mut stream = connect(addr);
        stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        get(addr, "/");
        daemon.signal(Signal::TERM);
        daemon.wait_for("stopping");
        daemon.signal(signal);
        assert_eq!(daemon.end().code(), Some(code), "{:#?}", daemon.log);
    }
}

#[test]
fn connections_that_a_second_signal_cuts_off_are_counted() {
    let large = "meal ".repeat(4_000_000);
    let www = root(&[("large", &large)]);
    let mut daemon = Daemon::serve(&[text(www.path()), "--drain", "1h"]);
    let addr = daemon.addr();
    let mut download = connect(addr);
    download.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    download.read_exact(&mut [0; 1000]).unwrap();
    daemon.signal(Signal::TERM);
    daemon.wait_for("stopping");
    daemon.signal(Signal::INT);
    assert_eq!(daemon.end().code(), Some(130), "{:#?}", daemon.log);
    assert!(daemon.has_logged("cut off 1"), "{:#?}", daemon.log);
}

#[test]
fn usr2_does_not_end_the_daemon() {
    let mut daemon = Daemon::serve(&[]);
    let addr = daemon.addr();
    daemon.signal(Signal::USR2);
    daemon.signal(Signal::QUIT);
    daemon.wait_for("state: accept: interrupted");
    assert_eq!(get(addr, "/").text(), "Hello, world!");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0), "{:#?}", daemon.log);
}

#[test]
fn a_signal_during_the_start_stops_the_daemon() {
    let mut daemon = Daemon::start(command(&["serve", "-b", "tcp://127.0.0.1:0"]));
    daemon.signal(Signal::TERM);
    let status = daemon.end();
    // Either it had no handler yet and the signal ended it, or it drained.
    use std::os::unix::process::ExitStatusExt;
    assert!(status.code() == Some(0) || status.signal() == Some(15), "{status:?}");
}

#[test]
fn quit_logs_the_state_and_the_daemon_keeps_serving() {
    let mut daemon = Daemon::serve(&[]);
    let addr = daemon.addr();
    get(addr, "/");
    daemon.signal(Signal::QUIT);
    let line = daemon.wait_for("state: live ");
    assert!(line.contains("accepted 1"), "{line}");
    daemon.wait_for("state: queue: 0 of 1024 waiting");
    daemon.wait_for("workers idle");
    daemon.wait_for("state: accept: interrupted");
    assert_eq!(get(addr, "/").text(), "Hello, world!");
}

#[test]
fn a_stopped_daemon_leaves_no_socket_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sock");
    let endpoint = format!("unix:{}", path.display());
    let mut daemon = Daemon::serve(&["-b", &endpoint]);
    daemon.wait_for(&endpoint);
    assert!(path.exists());
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let mut shell = Command::new("sh");
    let script = "ulimit -Sn 256; exec \"$0\" serve -b tcp://127.0.0.1:0";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_millpond")]).stdin(Stdio::null());
    let mut daemon = Daemon::start(shell);
    daemon.addr();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "{line}");
}
