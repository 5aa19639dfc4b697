//! The first request of a connection, which comes with the end of its handshake.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millpond::http::Request;
use millpond::{CloseReason, Config};
use rustls::ClientConnection;

use crate::support::tls::{TlsClient, ciphertext, client_side, start_https_with};
use crate::support::{Gate, TestServer, addr, connect_from, read_response, uninterrupted, until};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET_SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A server whose slow requests wait at the gate, and how many requests it has begun to serve.
fn gated(workers: usize) -> (TestServer, Arc<Gate>, Arc<AtomicUsize>) {
    let (gate, begun) = (Arc::new(Gate::closed()), Arc::new(AtomicUsize::new(0)));
    let mut config = Config::default();
    config.pool.workers = workers;
    let server = start_https_with(config, {
        let (gate, begun) = (Arc::clone(&gate), Arc::clone(&begun));
        move |request: &mut Request| {
            begun.fetch_add(1, Ordering::SeqCst);
            if request.uri().path() == "/slow" {
                gate.wait();
            }
            "served"
        }
    });
    (server, gate, begun)
}

/// A client that has the server's part of a handshake, and has not sent its own last one.
struct Halfway {
    tls: ClientConnection,
    socket: TcpStream,
}

impl Halfway {
    fn connect(server: &TestServer, source: [u8; 4]) -> Self {
        let mut socket = connect_from(source, addr(server));
        let mut tls = client_side(rustls::ALL_VERSIONS);
        while tls.is_handshaking() {
            while tls.wants_write() && tls.is_handshaking() {
                tls.write_tls(&mut socket).unwrap();
            }
            uninterrupted(|| tls.read_tls(&mut socket)).unwrap();
            tls.process_new_packets().unwrap();
        }
        Self { tls, socket }
    }

    /// Sends its last message and a request at once.
    fn ask(mut self, request: &[u8]) -> TlsClient {
        self.tls.writer().write_all(request).unwrap();
        self.socket.write_all(&ciphertext(&mut self.tls)).unwrap();
        TlsClient { tls: self.tls, socket: self.socket }
    }
}

/// A server whose only worker is held by the request of one client until the gate opens, while
/// another one is halfway.
struct Busy {
    server: TestServer,
    gate: Arc<Gate>,
    begun: Arc<AtomicUsize>,
    halfway: Halfway,
    holder: TlsClient,
}

impl Busy {
    fn new() -> Self {
        let (server, gate, begun) = gated(1);
        let halfway = Halfway::connect(&server, [127, 0, 0, 1]);
        let mut holder = TlsClient::connect(addr(&server));
        holder.write_all(GET_SLOW).unwrap();
        until("the worker is held", || gate.waited() == 1);
        Self { server, gate, begun, halfway, holder }
    }
}

#[test]
fn slow_first_requests_of_one_client_leave_workers_to_the_others() {
    let (server, gate, _) = gated(4);
    let mut other = TlsClient::over(connect_from([127, 0, 0, 2], addr(&server)));
    other.write_all(GET).unwrap();
    assert_eq!(read_response(&mut other).text(), "served");
    let halfway = (0..6).map(|_| Halfway::connect(&server, [127, 0, 0, 1]));
    let halfway: Vec<Halfway> = halfway.collect();
    let mut slow: Vec<TlsClient> = halfway.into_iter().map(|client| client.ask(GET_SLOW)).collect();
    until("all handshakes have ended", || server.stats().handshakes.full == 7);
    until("slow requests are served", || gate.waited() > 0);
    // A busy machine may refuse some. With all workers at the gate, none would be served.
    let mut served = 0;
    until("others are served", || {
        other.write_all(GET).unwrap();
        served += usize::from(read_response(&mut other).status == 200);
        served == 10
    });
    gate.open();
    for client in &mut slow {
        assert!([200, 503].contains(&read_response(client).status));
    }
}

#[test]
fn the_first_request_of_a_client_that_has_left_is_not_served() {
    let Busy { server, gate, begun, halfway, mut holder } = Busy::new();
    let left = halfway.ask(GET);
    until("it waits", || server.stats().queued == 1);
    drop(left);
    // What has hardly waited is not looked at.
    until("it has waited", || server.stats().queue_oldest >= Duration::from_millis(5));
    gate.open();
    assert_eq!(read_response(&mut holder).text(), "served");
    until("it is counted", || server.stats().closed_for(CloseReason::ClientGoneInQueue) == 1);
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[test]
fn the_end_of_a_client_that_has_asked_nothing_is_noticed_while_the_worker_is_busy() {
    let Busy { server, gate, begun, halfway, mut holder } = Busy::new();
    let ended = halfway.ask(b"");
    ended.socket.shutdown(Shutdown::Write).unwrap();
    until("it waits", || server.stats().queued == 1);
    gate.open();
    assert_eq!(read_response(&mut holder).text(), "served");
    until("it is closed", || server.stats().live == 1);
    assert_eq!(server.stats().closed_for(CloseReason::ClientClosed), 1, "{:?}", server.stats());
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}
