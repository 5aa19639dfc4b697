//! Tests: a protocol that panics outside of a handler costs only its connection.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Handle, Server, Service};
use crate::close::CloseReason;
use crate::config::Config;
use crate::pool::{Connection, Outcome, Phase, Protocol, ProtocolWorker, Refusal, TurnContext};

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn connect(server: &Handle) -> TcpStream {
    let stream = TcpStream::connect(server.local_addrs()[0].as_socket().unwrap()).unwrap();
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
    /// Connections that wait at the gate in `serve`, and whether it is shut.
    waiting: AtomicUsize,
    shut: AtomicBool,
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
    fn serve(&mut self, connection: Box<Connection>, turn: &mut TurnContext<'_>) -> Outcome {
        let mut piece = [0; 16];
        loop {
            match connection.stream.try_read(&mut piece) {
                Ok(0) => return Outcome::Close(connection, CloseReason::ClientClosed),
                Ok(count) => {
                    turn.count_request();
                    self.0.waiting.fetch_add(1, Ordering::SeqCst);
                    until("the gate is open", || !self.0.shut.load(Ordering::SeqCst));
                    if self.0.slow.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    fault(&self.0.serve);
                    let _ = connection.stream.try_write(&piece[..count]);
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

fn serve(config: Config) -> (Handle, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let builder = Server::builder().config(config).bind("tcp://127.0.0.1:0");
    let service = Service::protocol(Faulty(Arc::clone(&faults)));
    let server = builder.service(service).build().unwrap().spawn().unwrap();
    (server, faults)
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
fn all_is_well(server: &Handle, panics: u64) {
    for _ in 0..10 {
        // With a queue this short, a newcomer may be refused.
        until("a newcomer is served", || {
            let mut client = connect(server);
            client.write_all(b"a").is_ok() && matches!(client.read(&mut [0]), Ok(1))
        });
    }
    until("all have ended", || server.stats().live == 0);
    let stats = server.stats();
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
    until("they are counted", || server.stats().closed_for(CloseReason::HandlerPanicked) == 10);
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
        until("it has ended", || server.stats().live == 0);
    }
    let before = faults.waiting.load(Ordering::SeqCst);
    faults.shut.store(true, Ordering::SeqCst);
    faults.refuse.store(true, Ordering::SeqCst);
    let mut held = connect(&server);
    held.write_all(b"a").unwrap();
    until("the worker is held", || faults.waiting.load(Ordering::SeqCst) > before);
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let mut client = connect(&server);
            client.write_all(b"a").unwrap();
            client
        })
        .collect();
    until("some were refused", || server.stats().closed_for(CloseReason::HandlerPanicked) > 0);
    faults.refuse.store(false, Ordering::SeqCst);
    faults.shut.store(false, Ordering::SeqCst);
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
    until("it is counted", || server.stats().closed_for(CloseReason::IdleTimeout) == 1);
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
    until("it has tried again", || server.stats().panics > 2);
    faults.serve.store(false, Ordering::SeqCst);
    faults.protocol.store(false, Ordering::SeqCst);
    for _ in 0..5 {
        echoes(&mut kept);
    }
    drop(kept);
    all_is_well(&server, 3);
}
