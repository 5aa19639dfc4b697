//! Tests: a protocol that panics outside of a handler costs only its connection.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Server, Service};
use crate::close::CloseReason;
use crate::config::Config;
use crate::pool::{Connection, Outcome, Phase, Protocol, ProtocolWorker, Refusal, TurnContext};
use crate::test::{Gate, TestServer};

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

fn connect(server: &TestServer) -> TcpStream {
    let stream = TcpStream::connect(server.addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Where the protocol below panics, if anywhere.
#[derive(Debug, Default)]
struct Faults {
    serve: AtomicBool,
    refuse: AtomicBool,
    expire: AtomicBool,
    protocol: AtomicBool,
    /// Where `serve` waits.
    gate: Gate,
    /// Whether to serve takes a while.
    slow: AtomicBool,
}

/// Sends each byte back.
struct Faulty(Arc<Faults>);

struct FaultyWorker(Arc<Faults>);

fn fault(flag: &AtomicBool) {
    assert!(!flag.load(Ordering::SeqCst), "as the test wants it");
}

impl Protocol for Faulty {
    fn worker(&self) -> Box<dyn ProtocolWorker> {
        fault(&self.0.protocol);
        Box::new(FaultyWorker(Arc::clone(&self.0)))
    }
}

impl ProtocolWorker for FaultyWorker {
    fn serve(&mut self, mut connection: Box<Connection>, turn: &mut TurnContext<'_>) -> Outcome {
        let mut piece = [0; 16];
        loop {
            match connection.wire.try_read(&mut piece) {
                Ok(0) => return Outcome::Close(connection, CloseReason::ClientClosed),
                Ok(count) => {
                    turn.count_request();
                    self.0.gate.wait();
                    if self.0.slow.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    fault(&self.0.serve);
                    let _ = connection.wire.try_write(&piece[..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Outcome::Park(connection, Phase::Idle);
                }
                Err(_) => return Outcome::Close(connection, CloseReason::ClientGone),
            }
        }
    }

    fn refuse(
        &mut self,
        connection: Box<Connection>,
        _: &mut TurnContext<'_>,
        _: Refusal,
    ) -> Outcome {
        fault(&self.0.refuse);
        Outcome::Close(connection, CloseReason::Overloaded)
    }

    fn expire(&mut self, _: &mut Connection, _: &mut TurnContext<'_>) -> CloseReason {
        fault(&self.0.expire);
        CloseReason::IdleTimeout
    }
}

fn serve(config: Config) -> (TestServer, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    faults.gate.open();
    let service = Service::protocol(Faulty(Arc::clone(&faults)));
    let server = TestServer::with(Server::builder().config(config).service(service));
    (server.allow_panics(), faults)
}

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

/// New clients are served, and every connection is counted.
fn all_is_well(server: &TestServer, panics: u64) {
    for _ in 0..10 {
        // With a queue this short, a newcomer may be refused.
        server.wait_until(|_| {
            let mut client = connect(server);
            client.write_all(b"a").is_ok() && matches!(client.read(&mut [0]), Ok(1))
        });
    }
    let stats = server.wait_until(|stats| stats.live == 0);
    assert!(stats.panics >= panics, "{} panics", stats.panics);
    assert_eq!(stats.accepted, stats.closed_total());
    let report = server.drain(PATIENCE);
    assert_eq!(report.cut_off, 0);
}

#[test]
fn a_panic_in_serve_costs_its_connection() {
    let (server, faults) = serve(one_worker());
    faults.serve.store(true, Ordering::SeqCst);
    for _ in 0..10 {
        let mut client = connect(&server);
        client.write_all(b"a").unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    }
    faults.serve.store(false, Ordering::SeqCst);
    server.wait_until(|stats| stats.closed_for(CloseReason::HandlerPanicked) == 10);
    all_is_well(&server, 10);
}

#[test]
fn a_panic_in_refuse_costs_its_connection_also_on_the_acceptor() {
    let mut config = one_worker();
    config.pool.queue = Some(1);
    config.overload.refuse_budget = 1.0;
    let (server, faults) = serve(config);
    // Were it known to be quick, newcomers would be left in the backlog.
    faults.slow.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        echoes(&mut connect(&server));
        server.wait_until(|stats| stats.live == 0);
    }
    faults.gate.close();
    faults.refuse.store(true, Ordering::SeqCst);
    let mut held = connect(&server);
    held.write_all(b"a").unwrap();
    faults.gate.wait_for(1);
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let mut client = connect(&server);
            client.write_all(b"a").unwrap();
            client
        })
        .collect();
    server.wait_until(|stats| stats.closed_for(CloseReason::HandlerPanicked) > 0);
    faults.refuse.store(false, Ordering::SeqCst);
    faults.gate.open();
    drop((held, clients));
    all_is_well(&server, 1);
}

#[test]
fn a_panic_in_expire_costs_its_connection_and_no_deadline() {
    let mut config = one_worker();
    config.timeouts.idle = Duration::from_millis(50);
    let (server, faults) = serve(config);
    faults.expire.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let mut clients: Vec<_> = (0..5).map(|_| connect(&server)).collect();
        for client in &mut clients {
            assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "it ends at its deadline");
        }
    }
    faults.expire.store(false, Ordering::SeqCst);
    let mut client = connect(&server);
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    server.wait_until(|stats| stats.closed_for(CloseReason::IdleTimeout) == 1);
    all_is_well(&server, 15);
}

#[test]
fn a_worker_whose_protocol_panics_is_restored_once_it_no_longer_does() {
    let (server, faults) = serve(one_worker());
    let mut kept = connect(&server);
    echoes(&mut kept);
    faults.serve.store(true, Ordering::SeqCst);
    faults.protocol.store(true, Ordering::SeqCst);
    let mut client = connect(&server);
    client.write_all(b"a").unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    server.wait_until(|stats| stats.panics > 2);
    faults.serve.store(false, Ordering::SeqCst);
    faults.protocol.store(false, Ordering::SeqCst);
    for _ in 0..5 {
        echoes(&mut kept);
    }
    drop(kept);
    all_is_well(&server, 3);
}
