//! The `millpond` binary: start, signals, exit codes.

use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::process::Signal;

use crate::support::{Daemon, connect, read_answer, until};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const GET_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

#[test]
fn term_drains_and_exits_with_0() {
    let mut daemon = Daemon::start(&["-b", "tcp://127.0.0.1:0"]);
    let mut idle = connect(daemon.addr());
    idle.write_all(GET).unwrap();
    assert_eq!(read_answer(&mut idle).1, "Hello, world!");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(), Some(0));
    assert!(daemon.text().contains("stopped: served 1 "), "{}", daemon.text());
}

#[test]
fn no_request_that_was_accepted_is_lost_across_a_stop() {
    let mut daemon = Daemon::start(&["-b", "tcp://127.0.0.1:0"]);
    let addr = daemon.addr();
    let (stopping, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut answered = 0;
                    loop {
                        use std::io::Read;
                        let Ok(mut stream) = std::net::TcpStream::connect(addr) else { break };
                        if stream.write_all(GET_CLOSE).is_err() {
                            break;
                        }
                        let mut answer = String::new();
                        match stream.read_to_string(&mut answer) {
                            Ok(_) if answer.ends_with("Hello, world!") => {
                                answered += 1;
                                seen.fetch_add(1, Ordering::SeqCst);
                            }
                            // The listener closed between the last look at its backlog and its end:
                            // the kernel reset what came in that moment, which was never accepted.
                            _ => {
                                assert!(stopping.load(Ordering::SeqCst) && answer.is_empty());
                                break;
                            }
                        }
                    }
                    answered
                })
            })
            .collect();
        until("the load runs", || seen.load(Ordering::SeqCst) > 100);
        stopping.store(true, Ordering::SeqCst);
        daemon.signal(Signal::TERM);
        let answered: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert_eq!(daemon.wait(), Some(0));
        assert!(answered > 100, "{answered}");
        let text = daemon.text();
        assert!(text.contains(&format!("served {answered} ")), "{answered} answered; {text}");
    });
}

#[test]
fn what_cannot_start_says_why_with_a_hint_and_a_code_of_its_kind() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("tcp://{}", taken.local_addr().unwrap());
    let table: [(&[&str], i32, &str); 5] = [
        (&["serve", "-b", &taken], 69, "address already in use"),
        (&["serve", "-b", "carrier-pigeon:loft"], 2, "carrier-pigeon"),
        (&["serve", "--threads", "0"], 78, "invalid pool.workers 0"),
        (&["serve", "--no-such-flag"], 2, "no-such-flag"),
        (&["connect", "tcp://127.0.0.1:1", "hello"], 1, "refused"),
    ];
    for (args, code, expected) in table {
        let output = Command::new(env!("CARGO_BIN_EXE_millpond")).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.starts_with("error: ") && text.contains(expected), "{args:?}: {text}");
    }
}

#[test]
fn connect_sends_receives_and_prints() {
    let daemon = Daemon::start(&["--echo", "-b", "tcp://127.0.0.1:0"]);
    let endpoint = format!("tcp://{}", daemon.addr());
    let output = Command::new(env!("CARGO_BIN_EXE_millpond"))
        .args(["connect", &endpoint, "--raw", "Hello, mill"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Hello, mill");
    assert!(output.status.success());
}
