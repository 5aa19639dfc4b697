//! Handshakes as a kind of work of their own.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use millpond::http::Request;
use millpond::{CloseReason, Config, Refusal};

use crate::support::tls::{TlsClient, ciphertext, client_side, start_https_with};
use crate::support::{Gate, TestServer, addr, connect, read_response, until, until_or};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The first message of a client.
fn hello() -> Vec<u8> {
    ciphertext(&mut client_side(rustls::ALL_VERSIONS))
}

/// A server whose only worker is held by the request of this client, until the gate opens.
fn with_held_worker(mut config: Config) -> (TestServer, Arc<Gate>, TlsClient) {
    config.pool.workers = 1;
    let gate = Arc::new(Gate::closed());
    let server = start_https_with(config, {
        let gate = Arc::clone(&gate);
        move |_: &mut Request| {
            gate.wait();
            "ok"
        }
    });
    let mut holder = TlsClient::connect(addr(&server));
    holder.write_all(GET).unwrap();
    until("in the handler", || gate.waited() == 1);
    (server, gate, holder)
}

#[test]
fn silent_and_half_handshaken_clients_hold_no_worker() {
    let mut config = Config::default();
    config.pool.workers = 1;
    config.pool.queue = Some(4096);
    config.overload.shed = false;
    // On a busy machine it may take a while until all are there.
    config.timeouts.handshake = Duration::from_secs(600);
    let server = start_https_with(config, |_: &mut Request| "ok");
    let addr = addr(&server);
    let silent: Vec<_> = (0..1000).map(|_| connect(addr)).collect();
    let hello = hello();
    let half: Vec<_> = (0..1000)
        .map(|n| {
            let mut client = connect(addr);
            // Some have sent a part of the hello, the others all of it, and read no response.
            let length = if n % 2 == 0 { hello.len() } else { hello.len() / 2 };
            client.write_all(&hello[..length]).unwrap();
            client
        })
        .collect();
    until_or(|| server.stats().parked == 2000, || panic!("{:#?}", server.stats()));
    let mut client = TlsClient::connect(addr);
    client.write_all(GET).unwrap();
    assert_eq!(read_response(&mut client).text(), "ok");
    until("counted", || server.stats().served == 1);
    let stats = server.stats();
    assert_eq!((stats.handshakes.full, stats.live), (1, 2001));
    assert!(stats.handshakes.time > Duration::ZERO);
    drop((silent, half));
    until("closed", || server.stats().live == 1);
}

#[test]
fn handshakes_are_counted_by_their_result_and_teach_the_handlers_estimate_nothing() {
    let server = start_https_with(Config::default(), |_: &mut Request| "ok");
    for _ in 0..5 {
        TlsClient::connect(addr(&server));
    }
    until("counted", || server.stats().handshakes.full == 5);
    let mut client = connect(addr(&server));
    client.write_all(GET).unwrap();
    until("a request without TLS", || server.stats().handshakes.cleartext == 1);
    let mut client = connect(addr(&server));
    client.write_all(&[0x16, 3, 1, 0, 4, 1, 0, 0, 0]).unwrap();
    until("failed", || server.stats().handshakes.failed == 1);
    let stats = server.stats();
    assert_eq!((stats.served, stats.service_mean), (0, Duration::ZERO));
}

#[test]
fn a_handshake_that_waits_for_too_long_is_reset_while_requests_are_served() {
    let mut config = Config::default();
    config.overload.deadline = Duration::from_millis(200);
    config.overload.target = Duration::from_millis(5);
    let (server, gate, mut established) = with_held_worker(config);
    // The only worker is held: the handshake waits, and no other thread does it.
    let mut newcomer = connect(addr(&server));
    newcomer.write_all(&hello()).unwrap();
    until("refused", || server.stats().handshakes.refused == 1);
    let stats = server.stats();
    assert_eq!(stats.refused_for(Refusal::Deadline), 1);
    assert_eq!(stats.closed_for(CloseReason::Overloaded), 1);
    let mut received = Vec::new();
    assert!(newcomer.read_to_end(&mut received).is_err(), "a reset, and no response");
    assert!(received.is_empty());
    gate.open();
    assert_eq!(read_response(&mut established).text(), "ok");
}

/// Nothing else waits in the queue, so that a worker would serve this client for ever.
#[test]
fn a_client_that_always_has_a_next_request_leaves_time_for_handshakes() {
    let mut config = Config::default();
    config.pool.workers = 1;
    let server = start_https_with(config, |_: &mut Request| "ok");
    let mut busy = TlsClient::connect(addr(&server));
    let socket = busy.socket.try_clone().unwrap();
    let mut responses = busy.socket.try_clone().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut responses, &mut std::io::sink()));
    let writer = std::thread::spawn(move || while busy.write_all(&GET.repeat(300)).is_ok() {});
    until("the client is served", || server.stats().served > 100);
    let mut newcomer = TlsClient::connect(addr(&server));
    newcomer.write_all(GET).unwrap();
    assert_eq!(read_response(&mut newcomer).text(), "ok");
    socket.shutdown(Shutdown::Both).unwrap();
    writer.join().unwrap();
    let _ = reader.join().unwrap();
}

/// The refusal of one handshake overdraws the budget for them, so that the listener pauses for
/// 10 ms.
#[test]
fn a_drain_accepts_what_waits_at_a_listener_that_pauses() {
    let mut config = Config::default();
    config.overload.refuse_budget = 0.000_001;
    config.overload.deadline = Duration::from_secs(1);
    let (server, gate, mut holder) = with_held_worker(config);
    let mut newcomer = connect(addr(&server));
    newcomer.write_all(&hello()).unwrap();
    // It has waited for too long. Nothing waits any more.
    until("refused", || server.stats().handshakes.refused == 1);
    gate.open();
    assert_eq!(read_response(&mut holder).text(), "ok");
    let mut late =
        TlsClient { tls: client_side(rustls::ALL_VERSIONS), socket: connect(addr(&server)) };
    late.tls.write_tls(&mut late.socket).unwrap();
    server.begin_drain(Duration::from_secs(240));
    while late.tls.is_handshaking() {
        if let Err(error) = late.tls.complete_io(&mut late.socket) {
            // Refused is not lost: on a busy machine it may have waited for too long, too.
            assert_eq!(server.stats().handshakes.refused, 2, "{error}: {:#?}", server.stats());
            return;
        }
    }
    late.write_all(GET).unwrap();
    assert_eq!(read_response(&mut late).text(), "ok");
}
