//! The table of connections, which all clients share.

use std::time::Duration;

use millpond::Server;
use millpond::service::Hello;

use crate::support::{addr, exchange, until};

const GET_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

/// How often the thread of that name has gone to sleep.
fn sleeps_of(name: &str) -> Option<u64> {
    std::fs::read_dir("/proc/self/task").ok()?.flatten().find_map(|task| {
        let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        let switches = status.lines().find_map(|it| it.strip_prefix("voluntary_ctxt_switches:"))?;
        (comm.trim() == name).then(|| switches.trim().parse().ok())?
    })
}

#[test]
fn the_end_of_a_connection_does_not_wake_the_thread_that_runs_the_server() {
    let server = Server::builder().bind("tcp://127.0.0.1:0").workers(2).http(Hello).unwrap();
    let handle = server.spawn().unwrap();
    let runner = std::thread::Builder::new().name("runs-the-server".to_owned()).spawn({
        let handle = handle.clone();
        move || handle.wait()
    });
    let mut before = None;
    until("the thread waits", || {
        let now = sleeps_of("runs-the-server");
        let waits = now.is_some() && now == before;
        before = now;
        waits && now > Some(0)
    });
    for _ in 0..200 {
        exchange(addr(&handle), GET_CLOSE);
    }
    until("all have ended", || handle.stats().live == 0);
    let (before, after) = (before.unwrap(), sleeps_of("runs-the-server").unwrap());
    assert!(after - before < 20, "200 connections woke it {} times", after - before);
    let report = handle.drain(Duration::from_secs(5));
    assert_eq!(runner.unwrap().join().unwrap().served, report.served);
}
