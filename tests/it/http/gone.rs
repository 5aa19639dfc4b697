//! Clients that go away while their request waits for a worker.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use millpond::http::{Request, Response};
use millpond::{CloseReason, Config, Server};

use crate::support::{PATIENCE, Start, TestServer, addr, connect, read_last_response, until};

/// A server whose only worker is blocked in `/wait` until `gate` opens; other requests are counted.
struct Blocked {
    server: TestServer,
    gate: Arc<Barrier>,
    served: Arc<AtomicUsize>,
    waiting: TcpStream,
    unix: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

fn block(drop_gone: bool) -> Blocked {
    let dir = tempfile::tempdir().unwrap();
    let unix = dir.path().join("gone.sock");
    let gate = Arc::new(Barrier::new(2));
    let entered = Arc::new(AtomicUsize::new(0));
    let served = Arc::new(AtomicUsize::new(0));
    let mut config = Config::default();
    config.pool.workers = 1;
    config.overload.shed = false;
    config.overload.drop_gone = drop_gone;
    let server = Server::builder()
        .config(config)
        .bind("tcp://127.0.0.1:0")
        .bind(format!("unix:{}", unix.display()))
        .http({
            let (gate, entered, served) =
                (Arc::clone(&gate), Arc::clone(&entered), Arc::clone(&served));
            move |request: &mut Request| {
                if request.uri().path() == "/wait" {
                    entered.fetch_add(1, Ordering::SeqCst);
                    gate.wait();
                } else {
                    served.fetch_add(1, Ordering::SeqCst);
                }
                Response::text("done")
            }
        })
        .build()
        .unwrap()
        .start()
        .unwrap();
    let mut waiting = connect(addr(&server));
    waiting.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    until("the worker is busy", || entered.load(Ordering::SeqCst) == 1);
    Blocked { server, gate, served, waiting, unix, _dir: dir }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Closes so that the other side learns of it at once: with a reset.
fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
}

fn clients_go(blocked: &Blocked) -> (TcpStream, usize) {
    let mut gone = connect(addr(&blocked.server));
    gone.write_all(GET).unwrap();
    let mut unix = UnixStream::connect(&blocked.unix).unwrap();
    unix.write_all(GET).unwrap();
    let mut half = connect(addr(&blocked.server));
    half.write_all(GET).unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    let mut half_unix = UnixStream::connect(&blocked.unix).unwrap();
    half_unix.set_read_timeout(Some(PATIENCE)).unwrap();
    half_unix.write_all(GET).unwrap();
    half_unix.shutdown(Shutdown::Write).unwrap();
    until("they are accepted", || blocked.server.stats().queued == 4);
    reset(&gone);
    drop(gone);
    drop(unix);
    // What waits longer than a moment is looked at, and this one has.
    std::thread::sleep(Duration::from_millis(5));
    blocked.gate.wait();
    assert_eq!(read_last_response(&mut half_unix).text(), "done");
    (half, blocked.served.load(Ordering::SeqCst))
}

#[test]
fn a_request_whose_client_has_gone_is_not_served_and_a_half_close_is() {
    let mut blocked = block(true);
    let (mut half, _) = clients_go(&blocked);
    assert_eq!(read_last_response(&mut half).text(), "done");
    assert_eq!(read_last_response(&mut blocked.waiting).text(), "done");
    until("all are counted", || blocked.server.stats().live == 0);
    assert_eq!(blocked.served.load(Ordering::SeqCst), 2);
    assert_eq!(blocked.server.stats().closed_for(CloseReason::ClientGoneInQueue), 2);
}

#[test]
fn without_drop_gone_a_request_whose_client_has_gone_is_served() {
    let mut blocked = block(false);
    let (mut half, _) = clients_go(&blocked);
    assert_eq!(read_last_response(&mut half).text(), "done");
    assert_eq!(read_last_response(&mut blocked.waiting).text(), "done");
    until("all are counted", || blocked.server.stats().live == 0);
    // What the clients had sent can still be read.
    assert_eq!(blocked.served.load(Ordering::SeqCst), 4);
    assert_eq!(blocked.server.stats().closed_for(CloseReason::ClientGoneInQueue), 0);
}
