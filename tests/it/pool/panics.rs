//! Panics outside of handlers: each costs only its connection. Those of a protocol are tested in
//! `src/server/panics.rs`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millpond::http::{HeaderValue, Request, Response, Upgraded};
use millpond::{Config, Server};

use crate::support::{Start, addr, connect, read_response, until};

fn one_worker() -> Config {
    let mut config = Config::default();
    config.pool.workers = 1;
    config.overload.shed = false;
    config
}

#[track_caller]
fn echoes(client: &mut TcpStream) {
    client.write_all(b"a").unwrap();
    let mut back = [0];
    client.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"a");
}

/// Panics as it is dropped for the last time.
#[derive(Clone)]
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.0.fetch_add(1, Ordering::SeqCst) < 20 {
            panic!("as the test wants it");
        }
    }
}

#[test]
fn a_panic_after_an_upgrade_lets_no_two_connections_share_a_slot() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let handler = {
        let dropped = Arc::clone(&dropped);
        move |req: &mut Request| {
            if req.uri().path() != "/upgrade" {
                return Response::text(req.uri().path().to_owned());
            }
            let mut response =
                Response::upgrade(HeaderValue::from_static("mirror"), |mut stream: Upgraded| {
                    let mut piece = [0; 16];
                    while let Ok(count @ 1..) = stream.read(&mut piece) {
                        let _ = stream.write_all(&piece[..count]);
                    }
                });
            response.extensions_mut().insert(Bomb(Arc::clone(&dropped)));
            response
        }
    };
    let builder = Server::builder().config(one_worker()).bind("tcp://127.0.0.1:0");
    let server = builder.http(handler).build().unwrap().start().unwrap();
    let mut upgraded = Vec::new();
    let mut kept = Vec::new();
    for round in 0..10 {
        let mut client = connect(addr(&server));
        // Parked first, so that it has a place to give back.
        write!(client, "GET /first HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        read_response(&mut client);
        let ask =
            "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: mirror\r\n\r\n";
        client.write_all(ask.as_bytes()).unwrap();
        assert_eq!(read_response(&mut client).status, 101);
        until("it was dropped", || dropped.load(Ordering::SeqCst) > round);
        upgraded.push(client);
        kept.extend((0..3).map(|_| connect(addr(&server))));
        for (index, client) in kept.iter_mut().enumerate() {
            write!(client, "GET /{index} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        }
        for (index, client) in kept.iter_mut().enumerate() {
            assert_eq!(read_response(client).text(), format!("/{index}"));
        }
    }
    upgraded.iter_mut().for_each(echoes);
    let stats = server.stats();
    assert_eq!(stats.panics, 10);
    assert_eq!(stats.live, upgraded.len() + kept.len());
    drop((upgraded, kept));
    until("all have ended", || server.stats().live == 0);
    let stats = server.stats();
    assert_eq!(stats.accepted, stats.closed_total());
}
