//! A server, an attack on it, and how other clients are served meanwhile.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use millpond::http::{Handler, Request, Response, StatusCode};
use millpond::{Config, Server};

use super::fleet::{Fleet, Seen};
use super::newcomer;
use crate::support::{Gate, Start, TestServer, addr, until};

/// How long one of the others waits for its response.
const PATIENCE: Duration = Duration::from_secs(1);
/// The share of the others' requests that have to be served.
const SERVED: f64 = 0.9;
/// How often an attack is repeated that seems to succeed.
const ATTEMPTS: u32 = 3;
/// How soon a newcomer has to be served once the attack is over.
const SOON: Duration = Duration::from_secs(2);
/// How long the others and the attack are there before what the others get counts.
const LEAD: Duration = Duration::from_millis(200);
const OTHERS: u8 = 10;
/// The time between two requests of one of the others.
const EVERY: Duration = Duration::from_millis(400);

/// One attack at a time: otherwise a test would measure two attacks together.
static ALONE: Mutex<()> = Mutex::new(());

/// A handler that does what the query of a request says, as `examples/handler.rs` does.
#[derive(Clone, Default)]
pub(super) struct Asked {
    /// How long every request takes.
    pub(super) sleep: Duration,
    pub(super) stall: Arc<Gate>,
}

impl Handler for Asked {
    fn handle(&self, request: &mut Request) -> Response {
        self.stall.wait();
        let number = |name: &str| {
            let pairs = request.uri().query().unwrap_or_default().split('&');
            let mut values = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            values.next().map_or(0, |value| value.parse().unwrap())
        };
        let (sleep, bytes) = (Duration::from_millis(number("sleep-ms")), number("bytes") as usize);
        if !(self.sleep + sleep).is_zero() {
            thread::sleep(self.sleep + sleep);
        }
        if request.uri().query() == Some("read")
            && io::copy(request.body_mut(), &mut io::sink()).is_err()
        {
            return Response::error(StatusCode::BAD_REQUEST);
        }
        Response::text("x".repeat(bytes.max(1)))
    }
}

/// A server with four workers, a usual listener and an urgent one.
pub(super) struct Attacked {
    pub(super) server: TestServer,
    stall: Arc<Gate>,
    _alone: MutexGuard<'static, ()>,
}

impl Attacked {
    pub(super) fn new(asked: Asked, change: impl FnOnce(&mut Config)) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let stall = Arc::clone(&asked.stall);
        let mut config = Config::default();
        config.pool.workers = 4;
        change(&mut config);
        let server = Server::builder()
            .config(config)
            .bind("tcp://127.0.0.1:0")
            .bind("tcp://127.0.0.1:0?priority=high")
            .http(asked)
            .build()
            .unwrap()
            .start()
            .unwrap();
        Self { server, stall, _alone: alone }
    }

    /// A server whose handlers take this long.
    pub(super) fn sleeping(milliseconds: u64) -> Self {
        let sleep = Duration::from_millis(milliseconds);
        Self::new(Asked { sleep, ..Asked::default() }, |_| {})
    }

    /// Attacks for `time`; the others, the urgent listener and a newcomer have to be served.
    /// Returns what the attackers saw.
    ///
    /// A busy machine may take the CPU from the server for longer than a client waits. So an attack
    /// that seems to succeed is repeated: only one that always succeeds is one.
    #[track_caller]
    pub(super) fn withstands(&self, fleet: &Fleet, time: Duration) -> Seen {
        let mut reports = Vec::new();
        for _ in 0..ATTEMPTS {
            let (served, seen, report) = self.attack(fleet, time);
            println!("{report}");
            assert!(seen.opened > 0, "nothing happened: {report}");
            if served {
                return seen;
            }
            reports.push(report);
        }
        panic!("{}", reports.join("\n"));
    }

    /// Attacks for `time`. Returns whether the clients beside the attack were served, what the
    /// attackers saw, and a report of both.
    fn attack(&self, fleet: &Fleet, time: Duration) -> (bool, Seen, String) {
        let (usual, urgent) = (addr(&self.server), self.urgent());
        let (others, seen, urgent) = thread::scope(|scope| {
            let attack = scope.spawn(move || {
                thread::sleep(LEAD);
                fleet.run(usual, time).unwrap()
            });
            let urgent = scope.spawn(move || urgent_share(urgent, LEAD + time));
            let others = others(usual, LEAD + time);
            (others, attack.join().unwrap(), urgent.join().unwrap())
        });
        let after = newcomer::served_after(usual, Some(Ipv4Addr::new(127, 0, 3, 1)));
        let report = format!(
            "others {others:.2}, urgent {urgent:.2}, a newcomer after {after:?}; attackers {seen:?}"
        );
        (others >= SERVED && urgent >= 1.0 && after <= SOON, seen, report)
    }

    fn urgent(&self) -> SocketAddr {
        self.server.local_addrs()[1].as_socket().unwrap()
    }

    /// How many requests wait for a worker, or were refused.
    pub(super) fn waiting_or_refused(&self) -> u64 {
        let stats = self.server.stats();
        stats.queued as u64 + stats.refused_total()
    }
}

impl Drop for Attacked {
    fn drop(&mut self) {
        self.stall.open();
        self.server.stop_now();
        if !thread::panicking() {
            until("every connection has ended", || self.server.stats().live == 0);
        }
    }
}

/// Ten clients with a request every 400 ms each, whatever became of the one before: the share that
/// is served within a second.
pub(super) fn others(target: SocketAddr, time: Duration) -> f64 {
    let (start, mut asked) = (Instant::now(), 0);
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        while start.elapsed() < time {
            let source = Ipv4Addr::new(127, 0, 0, 2 + (asked % usize::from(OTHERS)) as u8);
            asked += 1;
            let served = &served;
            scope.spawn(move || {
                let status = newcomer::ask(target, Some(source), PATIENCE);
                served.fetch_add(usize::from(matches!(status, Ok(200))), SeqCst);
            });
            thread::sleep(EVERY / u32::from(OTHERS));
        }
    });
    served.load(SeqCst) as f64 / asked as f64
}

/// A health check every 50 ms: the share that is served within a second.
fn urgent_share(target: SocketAddr, time: Duration) -> f64 {
    let (start, mut asked, mut served) = (Instant::now(), 0, 0);
    while start.elapsed() < time {
        let status = newcomer::ask(target, Some(Ipv4Addr::new(127, 0, 3, 2)), PATIENCE);
        asked += 1;
        served += usize::from(matches!(status, Ok(200)));
        thread::sleep(Duration::from_millis(50));
    }
    served as f64 / f64::from(asked)
}
