//! Short bodies are awaited without a worker, long ones are read as they arrive.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use millpond::http::{Request, Response};
use millpond::{CloseReason, Config, Server};

use crate::support::{
    Start, TestServer, addr, connect, exchange, read_last_response, read_response, until,
};

/// One worker, which responds with the body.
fn echo(config: Config) -> TestServer {
    let builder = Server::builder().config(config).bind("tcp://127.0.0.1:0").workers(1);
    builder
        .http(|req: &mut Request| {
            let mut body = Vec::new();
            match req.body_mut().read_to_end(&mut body) {
                Ok(_) => Response::new(body),
                Err(error) => Response::from(error),
            }
        })
        .build()
        .unwrap()
        .start()
        .unwrap()
}

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";

#[test]
fn a_short_body_that_comes_slowly_holds_no_worker() {
    let server = echo(Config::default());
    let mut slow: Vec<_> = (0..20).map(|_| connect(addr(&server))).collect();
    for client in &mut slow {
        client.write_all(POST).unwrap();
        client.write_all(b"0123").unwrap();
    }
    let quick = exchange(addr(&server), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(quick.status, 200);
    for client in &mut slow {
        for byte in b"456789" {
            client.write_all(&[*byte]).unwrap();
        }
        assert_eq!(read_response(client).text(), "0123456789");
        // It is kept, and what comes behind a body is the next request.
        client.write_all(&[POST, b"abcdefghij", POST, b"ABCDEFGHIJ"].concat()).unwrap();
        assert_eq!(read_response(client).text(), "abcdefghij");
        assert_eq!(read_response(client).text(), "ABCDEFGHIJ");
    }
}

#[test]
fn a_short_body_that_does_not_come_gets_a_408() {
    let mut config = Config::default();
    config.timeouts.body = Duration::from_millis(50);
    let server = echo(config);
    assert_eq!(exchange(addr(&server), &[POST, b"0123"].concat()).status, 408);
    until("it is counted", || server.stats().closed_for(CloseReason::BodyTimeout) == 1);
}

#[test]
fn a_truncated_short_body_reaches_the_handler_as_an_error() {
    let server = echo(Config::default());
    let mut client = connect(addr(&server));
    client.write_all(&[POST, b"0123"].concat()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_last_response(&mut client).status, 400);
}

#[test]
fn a_client_that_expects_100_continue_gets_it() {
    let server = echo(Config::default());
    let mut client = connect(addr(&server));
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_response(&mut client).status, 100);
    client.write_all(b"0123456789").unwrap();
    assert_eq!(read_response(&mut client).text(), "0123456789");
}

/// A body that is read as it comes holds a worker for the grace of the minimum rate, not for as
/// long as one piece of it may take.
#[test]
fn a_stream_that_stalls_is_cut_off_as_soon_as_it_is_too_slow() {
    let mut config = Config::default();
    config.timeouts.body = Duration::from_secs(3600);
    config.timeouts.rate_grace = Duration::from_millis(50);
    config.limits.read_ahead = 0;
    let server = echo(config);
    let stalled = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    assert_eq!(exchange(addr(&server), stalled).status, 408);
}
