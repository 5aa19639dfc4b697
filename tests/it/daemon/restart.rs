//! A restart under load by a service manager that keeps the sockets: no connection is refused.

use std::io::{Error, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::process::Signal;

use crate::support::daemon::{Daemon, activated, root, text};
use crate::support::{PATIENCE, response, until};

const RESTARTS: u32 = 10;
const CLIENTS: usize = 4;

/// One request on a fresh connection: whether its response came in full.
fn ask(addr: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /a HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")?;
    let response = response::read(&mut stream, false).map_err(Error::other)?;
    Ok(response.status == 200 && response.text() == "flour")
}

#[test]
fn ten_restarts_under_load_fail_no_request_of_a_fresh_connection() {
    let www = root(&[("a", "flour")]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let start = || {
        // A request that the machine has no time for may be refused; that is not what is looked at.
        let args = [text(www.path()), "-b", "fd:passed", "--no-shed", "--deadline", "1m"];
        let mut daemon = Daemon::start(activated(listener.try_clone().unwrap(), &args));
        daemon.addr();
        daemon
    };
    let (done, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut failed = Vec::new();
                    while !done.load(Ordering::SeqCst) {
                        match ask(addr) {
                            Ok(true) => drop(answered.fetch_add(1, Ordering::SeqCst)),
                            other => failed.push(format!("{other:?}")),
                        }
                    }
                    failed
                })
            })
            .collect();
        let mut daemon = start();
        for round in 0..RESTARTS {
            let before = answered.load(Ordering::SeqCst);
            until("the load runs", || answered.load(Ordering::SeqCst) > before + 50);
            daemon.signal(Signal::TERM);
            assert_eq!(daemon.end().code(), Some(0), "{round}: {:#?}", daemon.log);
            daemon = start();
        }
        let before = answered.load(Ordering::SeqCst);
        until("the load runs", || answered.load(Ordering::SeqCst) > before + 50);
        done.store(true, Ordering::SeqCst);
        let failed: Vec<_> =
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        assert!(failed.is_empty(), "{} of {answered:?}: {failed:#?}", failed.len());
    });
}
