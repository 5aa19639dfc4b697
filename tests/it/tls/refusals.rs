//! Responses over TLS that no handler makes, and the end of the connections that they end.

use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use millpond::http::{Handler, Request, Response};
use millpond::{CloseReason, Config};

use crate::support::tls::{TlsClient, start_https_with};
use crate::support::{Gate, addr, read_last_response, read_response, until};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A handler that takes 20 ms, and at `/hold` until the gate opens.
#[derive(Clone)]
struct Gated(Arc<Gate>);

impl Handler for Gated {
    fn handle(&self, request: &mut Request) -> Response {
        match request.path() {
            "/hold" => self.0.wait(),
            _ => thread::sleep(Duration::from_millis(20)),
        }
        Response::text("done")
    }

    fn refusal(&self) -> Option<String> {
        Some("come back later".to_owned())
    }
}

#[test]
fn a_refusal_arrives_whole_over_established_connections() {
    let gate = Arc::new(Gate::closed());
    let mut config = Config::default();
    config.pool.workers = 1;
    config.overload.refuse_budget = 1.0;
    let server = start_https_with(config.clone(), Gated(Arc::clone(&gate)));
    // The server learns how long its handler takes.
    let mut clients: Vec<_> = (0..16).map(|_| TlsClient::connect(addr(&server))).collect();
    for client in &mut clients {
        until("it is served", || {
            client.write_all(GET).unwrap();
            read_response(client).status == 200
        });
    }
    let mut holder = TlsClient::connect(addr(&server));
    holder.write_all(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    until("the worker is held", || gate.waited() == 1);
    // With the worker held, whatever comes second would wait for longer.
    config.overload.deadline = Duration::from_millis(25);
    server.reconfigure(config).unwrap();
    let refused_before = server.stats().refused_total();
    let mut waiting = clients.drain(..12).collect::<Vec<_>>().into_iter();
    let mut queued = Vec::new();
    until("a request is refused", || {
        if let Some(mut client) = waiting.next() {
            client.write_all(GET).unwrap();
            queued.push(client);
        }
        server.stats().refused_total() > refused_before
    });

    let mut kept = clients.remove(0);
    for _ in 0..3 {
        kept.write_all(GET).unwrap();
        let response = read_response(&mut kept);
        assert_eq!((response.status, response.text()), (503, "come back later"));
        assert!(response.has_connection_option("keep-alive"), "{response:?}");
    }
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n";
    for (mut client, request) in clients.into_iter().zip([
        [&head[..], &[b'x'; 60_000]].concat(),
        [GET, GET].concat(),
        b"GET / HTTP/1.0\r\n\r\n".to_vec(),
    ]) {
        client.write_all(&request).unwrap();
        // Its end is announced: without that, the client would report a cut.
        let response = read_last_response(&mut client);
        assert_eq!((response.status, response.text()), (503, "come back later"));
        assert!(response.has_connection_option("close"), "{response:?}");
    }
    gate.open();
    assert_eq!(read_response(&mut holder).text(), "done");
    until("the connection that was kept is served again", || {
        kept.write_all(GET).unwrap();
        read_response(&mut kept).status == 200
    });
}

#[test]
fn a_request_that_is_cut_off_gets_its_408_and_an_announced_end() {
    let mut config = Config::default();
    config.timeouts.head = Duration::from_millis(100);
    config.timeouts.body = Duration::from_millis(100);
    let server = start_https_with(config, |_: &mut Request| "ok");
    for (request, reason) in [
        (&b"GET / HTTP/1.1\r\nHo"[..], CloseReason::HeadTimeout),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", CloseReason::BodyTimeout),
    ] {
        let mut client = TlsClient::connect(addr(&server));
        client.write_all(request).unwrap();
        assert_eq!(read_last_response(&mut client).status, 408);
        until("closed", || server.stats().closed_for(reason) == 1);
    }
}

#[test]
fn a_response_before_the_end_of_a_long_body_is_not_lost_in_a_reset() {
    let mut config = Config::default();
    config.limits.body = 1000;
    let server = start_https_with(config, |request: &mut Request| {
        let _ = request.read_body(1000);
        "unreachable"
    });
    let mut client = TlsClient::connect(addr(&server));
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n").unwrap();
    // The server has responded before the client sends the rest.
    until("responded", || server.stats().parked == 1);
    for _ in 0..50 {
        client.write_all(&[b'x'; 10_000]).unwrap();
    }
    assert_eq!(read_last_response(&mut client).status, 413);
}

/// Requests of 1 KiB, many of which share a record: more than the server reads at once.
#[test]
fn requests_behind_others_are_not_forgotten_when_the_queue_is_full() {
    for trusted in [false, true] {
        let mut config = Config::default();
        (config.pool.workers, config.pool.queue) = (1, Some(1));
        config.overload.refuse_budget = 1.0;
        if trusted {
            config.proxy.trusted = vec!["127.0.0.1".parse().unwrap()];
        }
        let server = start_https_with(config, |request: &mut Request| {
            request.read_body(10_000).map_or(vec![], |body| [&body[..], &[b'y'; 3000]].concat())
        });
        let addr = addr(&server);
        let mut clients: Vec<_> = (0..8).map(|_| TlsClient::connect(addr)).collect();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 900\r\n\r\n\
             {}",
            "x".repeat(900)
        );
        let (mut served, mut refused) = (0, 0);
        thread::scope(|scope| {
            let threads: Vec<_> = clients
                .iter_mut()
                .map(|client| {
                    scope.spawn(|| {
                        let (mut served, mut refused) = (0, 0);
                        // A refusal may end the connection: what follows then has no response.
                        'client: for _ in 0..5 {
                            if client.write_all(request.repeat(30).as_bytes()).is_err() {
                                break;
                            }
                            for _ in 0..30 {
                                let response = read_response(client);
                                match response.status {
                                    200 => served += 1,
                                    503 => refused += 1,
                                    other => panic!("{other}"),
                                }
                                if response.has_connection_option("close") {
                                    break 'client;
                                }
                            }
                        }
                        (served, refused)
                    })
                })
                .collect();
            for thread in threads {
                let (ok, no) = thread.join().unwrap();
                (served, refused) = (served + ok, refused + no);
            }
        });
        println!("trusted {trusted}: {served} served, {refused} refused");
        assert!(served > 0);
        drop(clients);
        until("closed", || server.stats().live == 0);
    }
}
