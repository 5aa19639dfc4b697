//! Settings that are replaced while the server runs.

use std::io::{Read, Write};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use millpond::http::{Request, Response};
use millpond::pool::WorkerActivity;
use millpond::{Config, ErrorKind, Server};

use crate::support::{Start, TestServer, addr, connect, connect_from, read_response, until};

fn server(config: Config) -> TestServer {
    let builder = Server::builder().config(config).bind("tcp://127.0.0.1:0").workers(2);
    builder
        .http(|req: &mut Request| {
            let mut body = Vec::new();
            match req.body_mut().read_to_end(&mut body) {
                Ok(length) => Response::text(length.to_string()),
                Err(error) => Response::from(error),
            }
        })
        .build()
        .unwrap()
        .start()
        .unwrap()
}

#[test]
fn a_kept_connection_follows_the_new_limits() {
    let handle = server(Config::default());
    let mut stream = connect(addr(&handle));
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n01234567890123456789";
    stream.write_all(post).unwrap();
    assert_eq!(read_response(&mut stream).text(), "20");

    let mut config = Config::default();
    config.limits.body = 10;
    handle.reconfigure(config).unwrap();
    stream.write_all(post).unwrap();
    assert_eq!(read_response(&mut stream).status, 413);
    handle.drain(Duration::from_secs(5));
}

#[test]
fn a_raised_connection_limit_admits_waiting_clients() {
    let mut config = Config::default();
    config.limits.connections = 1;
    config.pool.workers = 4;
    // The second has waited for longer than is usual.
    config.overload.shed = false;
    let gate = Arc::new(Barrier::new(2));
    let builder = Server::builder().config(config.clone()).bind("tcp://127.0.0.1:0");
    let held = Arc::clone(&gate);
    let handler = move |req: &mut Request| {
        if req.uri().path() == "/held" {
            held.wait();
        }
        Response::text("0")
    };
    let handle = builder.http(handler).build().unwrap().start().unwrap();
    // One that only waits would be closed for the second.
    let mut first = connect(addr(&handle));
    first.write_all(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let is_serving =
        |worker: &millpond::pool::WorkerState| worker.activity == WorkerActivity::Serving;
    until("the first is in service", || handle.workers().iter().any(is_serving));
    let mut second = connect_from([127, 0, 0, 3], addr(&handle));
    second.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("the acceptor waits for a place", || handle.stats().accept_full > 0);

    config.limits.connections = 2;
    handle.reconfigure(config).unwrap();
    assert_eq!(read_response(&mut second).text(), "0");
    gate.wait();
    assert_eq!(read_response(&mut first).text(), "0");
    handle.drain(Duration::from_secs(5));
}

#[test]
fn wrong_settings_change_nothing() {
    let handle = server(Config::default());
    let mut config = Config::default();
    config.limits.body = 1;
    config.timeouts.head = Duration::ZERO;
    assert_eq!(handle.reconfigure(config).unwrap_err().kind(), ErrorKind::Config);
    let mut stream = connect(addr(&handle));
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab").unwrap();
    assert_eq!(read_response(&mut stream).text(), "2");
    handle.drain(Duration::from_secs(5));
}
