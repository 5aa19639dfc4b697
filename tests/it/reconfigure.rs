//! Settings that are exchanged while the server runs.

use std::io::{Read, Write};
use std::time::Duration;

use millpond::http::{Request, Response};
use millpond::{Config, ErrorKind, Handle, Server};

use crate::support::{addr, connect, read_answer, until};

fn server(config: Config) -> Handle {
    let builder = Server::builder().config(config).bind("tcp://127.0.0.1:0").workers(2);
    builder
        .http(|req: &mut Request| {
            let mut body = Vec::new();
            match req.body_mut().read_to_end(&mut body) {
                Ok(length) => Response::text(length.to_string()),
                Err(error) => Response::from(error),
            }
        })
        .unwrap()
        .spawn()
        .unwrap()
}

#[test]
fn a_kept_connection_goes_by_the_new_limits() {
    let handle = server(Config::default());
    let mut stream = connect(addr(&handle));
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n01234567890123456789";
    stream.write_all(post).unwrap();
    assert_eq!(read_answer(&mut stream).1, "20");

    let mut config = Config::default();
    config.limits.body = 10;
    handle.reconfigure(config).unwrap();
    stream.write_all(post).unwrap();
    assert!(read_answer(&mut stream).0.starts_with("HTTP/1.1 413 "));
    handle.drain(Duration::from_secs(5));
}

#[test]
fn a_raised_limit_on_connections_lets_those_in_who_wait() {
    let mut config = Config::default();
    config.limits.connections = 1;
    let handle = server(config.clone());
    let first = connect(addr(&handle));
    until("the first is in", || handle.stats().live == 1);
    let mut second = connect(addr(&handle));
    second.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("the acceptor waits for a place", || handle.stats().accept_full > 0);

    config.limits.connections = 2;
    handle.reconfigure(config).unwrap();
    assert_eq!(read_answer(&mut second).1, "0");
    drop(first);
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
    assert_eq!(read_answer(&mut stream).1, "2");
    handle.drain(Duration::from_secs(5));
}
