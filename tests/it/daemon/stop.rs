//! The daemon's stop and its exit codes.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::process::Signal;

use crate::support::daemon::{Daemon, run};
use crate::support::{connect, read_response, response, until};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const GET_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

#[test]
fn term_drains_and_exits_with_0() {
    let mut daemon = Daemon::serve(&[]);
    let mut idle = connect(daemon.addr());
    idle.write_all(GET).unwrap();
    assert_eq!(read_response(&mut idle).text(), "Hello, world!");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0));
    assert!(daemon.has_logged("stopped: served 1 "), "{:#?}", daemon.log);
}

/// Whether a connection ended before any byte of a response came.
fn is_reset(read: &Result<response::Response, String>) -> bool {
    let error = read.as_ref().err();
    error.is_some_and(|error| error == "a missing line" || error.contains("reset"))
}

#[test]
fn no_request_that_was_accepted_is_lost_across_a_stop() {
    let mut daemon = Daemon::serve(&[]);
    let addr = daemon.addr();
    let (stopping, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut served = 0;
                    loop {
                        let Ok(mut stream) = std::net::TcpStream::connect(addr) else { break };
                        if stream.write_all(GET_CLOSE).is_err() {
                            break;
                        }
                        match response::read(&mut stream, false) {
                            Ok(response) if response.text() == "Hello, world!" => {
                                served += 1;
                                seen.fetch_add(1, Ordering::SeqCst);
                            }
                            // The listener closed after its last accept(2): the kernel reset what
                            // came in between, which was never accepted.
                            other => {
                                assert!(stopping.load(Ordering::SeqCst), "{other:?}");
                                assert!(is_reset(&other), "{other:?}");
                                break;
                            }
                        }
                    }
                    served
                })
            })
            .collect();
        until("the load runs", || seen.load(Ordering::SeqCst) > 100);
        stopping.store(true, Ordering::SeqCst);
        daemon.signal(Signal::TERM);
        let served: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert_eq!(daemon.end().code(), Some(0));
        assert!(served > 100, "{served}");
        assert!(daemon.has_logged(&format!("served {served} ")), "{served}: {:#?}", daemon.log);
    });
}

#[test]
fn a_failed_start_prints_its_reason_and_has_its_exit_code() {
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
        let ran = run(args);
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        let text = ran.stderr;
        assert!(text.starts_with("error: ") && text.contains(expected), "{args:?}: {text}");
    }
}

#[test]
fn connect_sends_receives_and_prints() {
    let mut daemon = Daemon::serve(&["--echo"]);
    let endpoint = format!("tcp://{}", daemon.addr());
    let ran = run(&["connect", &endpoint, "--raw", "Hello, mill"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "Hello, mill"), "{ran:?}");
}
