//! Which thread is woken for work: no request waits while a worker is free.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use millpond::http::{Request, Response};
use millpond::{Config, Server};

use crate::support::{
    Gate, Start, TestServer, addr, connect, passes_in_a_process_of_its_own, read_response, until,
};

/// Handlers of `/block` wait at the gate until it is opened.
fn gated(workers: usize) -> (TestServer, Arc<Gate>) {
    gated_with(workers, Config::default())
}

fn gated_with(workers: usize, config: Config) -> (TestServer, Arc<Gate>) {
    let gate = Arc::new(Gate::closed());
    let handler = {
        let gate = Arc::clone(&gate);
        move |req: &mut Request| {
            if req.uri().path() == "/block" {
                gate.wait();
            }
            Response::text("done")
        }
    };
    let builder = Server::builder().config(config).bind("tcp://127.0.0.1:0").workers(workers);
    (builder.http(handler).build().unwrap().start().unwrap(), gate)
}

fn send(client: &mut TcpStream, path: &str) {
    write!(client, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
}

/// All workers but one are in their first slow handlers, so that no recent handler was slow: the
/// last one still serves requests, over new connections and over kept ones.
#[test]
fn the_last_free_worker_serves_while_all_others_are_blocked() {
    for workers in [2, 4, 16] {
        let (server, gate) = gated(workers);
        let mut kept = connect(addr(&server));
        send(&mut kept, "/");
        assert_eq!(read_response(&mut kept).text(), "done");
        let mut blocked = Vec::new();
        for count in 1..workers {
            let mut client = connect(addr(&server));
            send(&mut client, "/block");
            blocked.push(client);
            until("it blocks", || gate.waited() == count);
        }
        for _ in 0..20 {
            let mut fresh = connect(addr(&server));
            send(&mut fresh, "/");
            assert_eq!(read_response(&mut fresh).text(), "done", "{workers} workers, fresh");
            send(&mut kept, "/");
            assert_eq!(read_response(&mut kept).text(), "done", "{workers} workers, kept");
        }
        gate.open();
        for client in &mut blocked {
            assert_eq!(read_response(client).text(), "done");
        }
        server.stop_now();
    }
}

/// With every worker blocked for longer than a request may take, new requests are refused.
#[test]
fn a_request_that_cannot_be_served_in_time_is_refused_while_every_worker_is_blocked() {
    passes_in_a_process_of_its_own(
        "pool::leader::a_newcomer_wakes_the_monitor_where_all_are_blocked",
    );
}

/// The voluntary context switches of the only monitor, if it sleeps.
fn switches_of_the_monitor() -> Option<String> {
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let status = tasks
        .map(|task| read(task.unwrap().path().join("status")))
        .find(|status| status.starts_with("Name:\tmonitor\n"))?;
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let sleeps = line("State:\t")?.starts_with('S');
    sleeps.then(|| line("voluntary_ctxt_switches:").unwrap_or_default().to_owned())
}

#[test]
#[ignore = "looks at the threads of its process"]
fn a_newcomer_wakes_the_monitor_where_all_are_blocked() {
    let mut config = Config::default();
    config.overload.deadline = Duration::from_millis(150);
    let (server, gate) = gated_with(2, config);
    let mut blocked = [connect(addr(&server)), connect(addr(&server))];
    for client in &mut blocked {
        send(client, "/block");
    }
    until("both block", || gate.waited() == 2);
    for _ in 0..3 {
        // The monitor looks once in a millisecond while something moves. Then it waits without end,
        // and a newcomer has to wake it.
        until("the monitor waits", || {
            let before = switches_of_the_monitor();
            thread::sleep(Duration::from_millis(20));
            before.is_some() && before == switches_of_the_monitor()
        });
        let mut fresh = connect(addr(&server));
        send(&mut fresh, "/");
        assert_eq!(read_response(&mut fresh).status, 503);
    }
    gate.open();
    server.stop_now();
}

/// With every worker blocked, requests wait, and are served once one is free.
#[test]
fn requests_that_arrive_while_all_workers_are_blocked_are_served_afterwards() {
    let (server, gate) = gated(3);
    let mut clients: Vec<_> = (0..6).map(|_| connect(addr(&server))).collect();
    for client in &mut clients {
        send(client, "/block");
    }
    until("all block", || gate.waited() == 3);
    gate.open();
    for client in &mut clients {
        assert_eq!(read_response(client).text(), "done");
    }
    let mut byte = [0];
    clients[0].set_nonblocking(true).unwrap();
    assert!(clients[0].read(&mut byte).is_err(), "the connection is kept");
    server.stop_now();
}
