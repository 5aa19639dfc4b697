//! What still works while a handler blocks every worker.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millpond::http::{Request, Response};
use millpond::{Bind, Config, Refusal, Server};

use crate::support::{Gate, SetOnDrop, Start, TestServer, addr, connect, read_response, until};

/// Opens the gate of `/held` when the test ends.
struct Open(Arc<Gate>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// One worker, an ordinary listener and an urgent one.
fn server(config: Config) -> (TestServer, [SocketAddr; 2], Open) {
    let gate = Arc::new(Gate::closed());
    let held = Arc::clone(&gate);
    let handler = move |req: &mut Request| {
        if req.uri().path() == "/held" {
            held.wait();
        }
        Response::text("done")
    };
    let builder = Server::builder().config(config).workers(1).bind("tcp://127.0.0.1:0");
    let builder = builder.bind(Bind::to("tcp://127.0.0.1:0").urgent());
    let server = builder.http(handler).build().unwrap().start().unwrap();
    let urgent = server.local_addrs()[1].as_socket().unwrap();
    let addrs = [addr(&server), urgent];
    (server, addrs, Open(gate))
}

fn send(client: &mut TcpStream, path: &str) {
    write!(client, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
}

/// Blocks the worker, and that for urgent work too if `both`.
fn hold(addrs: [SocketAddr; 2], gate: &Gate, both: bool) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for addr in &addrs[..=usize::from(both)] {
        let mut client = connect(*addr);
        send(&mut client, "/held");
        held.push(client);
        until("the worker is held", || gate.waited() == held.len());
    }
    held
}

#[test]
fn a_kept_urgent_connection_is_served_while_the_queue_is_full() {
    let mut config = Config::default();
    config.pool.queue = Some(1);
    config.overload.shed = false;
    let (server, addrs, gate) = server(config);
    let mut kept = connect(addrs[1]);
    send(&mut kept, "/");
    assert_eq!(read_response(&mut kept).text(), "done");
    let _held = hold(addrs, &gate.0, false);
    let mut queued = connect(addrs[0]);
    send(&mut queued, "/");
    until("the queue is full", || server.stats().queued == 1);
    for _ in 0..5 {
        send(&mut kept, "/");
        assert_eq!(read_response(&mut kept).text(), "done");
    }
    assert_eq!(server.stats().queued, 1, "the queue was full all the time");
}

#[test]
fn a_request_that_waited_too_long_is_refused_even_while_urgent_work_waits() {
    let mut config = Config::default();
    config.overload.deadline = Duration::from_millis(400);
    let (server, addrs, gate) = server(config);
    let _held = hold(addrs, &gate.0, true);
    let mut late = connect(addrs[0]);
    send(&mut late, "/");
    until("it is queued", || server.stats().queued == 1);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // There is always urgent work that has not waited for long.
            let mut waiting = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let mut client = connect(addrs[1]);
                send(&mut client, "/");
                waiting.push(client);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let _ended = SetOnDrop(&ended);
        assert_eq!(read_response(&mut late).status, 503);
    });
    assert!(server.stats().refused_for(Refusal::Deadline) > 0);
}
