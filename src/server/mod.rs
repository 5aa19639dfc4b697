//! [`Server`]: the only maker of channels and threads. Start, drain, join.

mod builder;
mod plan;
mod service;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder as ThreadBuilder, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{getpriority_process, setpriority_process};

use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::net::Addr;
use crate::pool::acceptor::Acceptor;
use crate::pool::datagram::receive::Receiver;
use crate::pool::datagram::send_batch::SendBatch;
use crate::pool::datagram::socket::DatagramSocket;
use crate::pool::guard::{ProtocolWorkers, Protocols};
use crate::pool::monitor::Monitor;
use crate::pool::source::Source;
use crate::pool::worker::Worker;
use crate::pool::{Shared, Stats, WorkerState};
use crate::sync::lock;
pub use builder::{Bind, Builder};
pub use service::Service;

/// A bound server that does not run yet.
///
/// # Examples
/// ```
/// use millpond::Server;
/// use millpond::http::{Request, Response};
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// let server = Server::builder()
///     .bind("tcp://127.0.0.1:0")
///     .workers(2)
///     .http(|_req: &mut Request| Response::text("Hello, world!"))?;
/// let handle = server.spawn()?;
///
/// let addr = handle.local_addrs()[0].as_socket().unwrap();
/// let mut client = std::net::TcpStream::connect(addr)?;
/// client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert!(answer.ends_with("\r\n\r\nHello, world!"));
///
/// let report = handle.drain(Duration::from_secs(5));
/// assert_eq!((report.served, report.cut_off), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    protocols: Protocols,
    sources: Vec<Source>,
    sockets: Vec<Arc<DatagramSocket>>,
    /// Whether there is a worker for urgent work only.
    urgent: bool,
    /// Where it is bound, in the order of the binds.
    places: Vec<(Option<Addr>, String)>,
}

impl Server {
    /// Starts with the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The addresses it is bound to, with the real ports.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<Addr> {
        self.places.iter().filter_map(|(addr, _)| addr.clone()).collect()
    }

    /// The endpoints it is bound to as text, with the real ports: `tcp://[::]:8888`.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.places.iter().map(|(_, text)| text.clone()).collect()
    }

    /// Runs until another thread [drains](Handle::drain) or stops it. Only useful with a handle
    /// that was taken before: see [`spawn`](Self::spawn).
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub fn run(self) -> Result<DrainReport, Error> {
        let handle = self.spawn()?;
        Ok(handle.wait())
    }

    /// Starts the threads: the acceptor, the workers, the monitor.
    ///
    /// # Errors
    /// [`ErrorKind::System`] when the system gives no thread.
    pub fn spawn(self) -> Result<Handle, Error> {
        let addrs = self.local_addrs();
        let endpoints = self.endpoints();
        let shared = Arc::clone(&self.shared);
        let mut threads = Vec::new();
        let started = self.start(&mut threads);
        let handle = Handle(Arc::new(Inner {
            shared,
            addrs,
            endpoints,
            threads: Mutex::new(threads),
            interrupted: AtomicU64::new(0),
            report: Mutex::new(None),
        }));
        if let Err(error) = started {
            handle.stop_now();
            return Err(system("cannot start a thread", error)
                .with_hint("lower the number of workers, or raise the limit on threads"));
        }
        Ok(handle)
    }

    fn start(self, threads: &mut Vec<Running>) -> io::Result<()> {
        let Self { shared, protocols, sources, sockets, urgent, .. } = self;
        let protocols = || ProtocolWorkers::new(&protocols);
        let worker = |index| Worker {
            index,
            shared: Arc::clone(&shared),
            protocols: protocols(),
            receiver: Receiver::new(Arc::clone(&shared), sockets.clone()),
            batch: SendBatch::default(),
        };
        let nice = shared.pool.worker_nice;
        for index in 0..shared.pool.workers {
            let worker = worker(index);
            threads.push(Running::spawn(&shared, &format!("worker-{index}"), move || {
                be_nice(nice);
                worker.run();
            })?);
        }
        if urgent {
            let worker = worker(shared.pool.workers);
            threads.push(Running::spawn(&shared, "worker-urgent", move || worker.run_urgent())?);
        }
        let monitor = Monitor::new(Arc::clone(&shared), protocols());
        threads.push(Running::spawn(&shared, "monitor", move || monitor.run())?);
        shared.upgrades.spawn_with(|job| thread("upgraded", job).map(drop));
        let acceptor = Acceptor::new(Arc::clone(&shared), protocols(), sources, sockets);
        threads.push(Running::spawn(&shared, ACCEPTOR, move || acceptor.run())?);
        Ok(())
    }
}

/// The name of the thread whose end is the end of accepting.
const ACCEPTOR: &str = "acceptor";

/// Lets the threads that accept, refuse and keep deadlines have the CPU before the calling one,
/// which needs no privilege: nice(2), which on Linux is of a thread.
fn be_nice(by: u8) {
    let raise = || {
        let nice = getpriority_process(None)?;
        setpriority_process(None, (nice + i32::from(by)).min(19))
    };
    if by > 0
        && let Err(errno) = raise()
    {
        log::debug!("a worker's nice value cannot be raised: {}", io::Error::from(errno));
    }
}

/// A thread of the server, and whether it has ended.
struct Running {
    thread: JoinHandle<()>,
    ended: Arc<AtomicBool>,
}

impl Running {
    fn spawn(
        shared: &Arc<Shared>,
        name: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let end = End { shared: Arc::clone(shared), ended: Arc::clone(&ended) };
        let thread = thread(name, move || {
            let _end = end;
            run();
        })?;
        Ok(Self { thread, ended })
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

/// Notes a thread's end, also one by a panic. Of a stopped server it closes what is left.
struct End {
    shared: Arc<Shared>,
    ended: Arc<AtomicBool>,
}

impl Drop for End {
    fn drop(&mut self) {
        if self.shared.is_stopped() {
            self.shared.close_all();
        }
        self.ended.store(true, Ordering::SeqCst);
        self.shared.connections.accepting.notify();
        self.shared.connections.completion.notify();
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    ThreadBuilder::new().name(name.to_owned()).spawn(run)
}

/// A running server. Clones refer to the same one; dropping them all does not stop it.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    addrs: Vec<Addr>,
    endpoints: Vec<String>,
    threads: Mutex<Vec<Running>>,
    /// What a drain still waited for when it was interrupted.
    interrupted: AtomicU64,
    /// Set once the server has stopped. The lock is held while it does.
    report: Mutex<Option<DrainReport>>,
}

impl Handle {
    /// The addresses it is bound to, with the real ports.
    #[must_use]
    pub fn local_addrs(&self) -> &[Addr] {
        &self.0.addrs
    }

    /// The endpoints it is bound to as text, with the real ports: `tcp://[::]:8888`.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.0.endpoints
    }

    /// Exchanges the settings while it runs; no connection notices but by them. Each turn of a
    /// connection goes by one whole set of settings. A wait that has begun keeps its deadline.
    ///
    /// [`Config::pool`] stays as it was at the start: threads and queue are made once.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for settings that are out of range or contradict each other, or for
    /// more connections than there is room for: at least as many as at the start, and as many as
    /// the process may have descriptors (`RLIMIT_NOFILE`). Then nothing has changed.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Request, Response};
    /// use millpond::{Config, Server};
    ///
    /// let server = Server::builder().bind("tcp://127.0.0.1:0");
    /// let handle = server.http(|_: &mut Request| Response::text("Hello"))?.spawn()?;
    /// let mut config = Config::default();
    /// config.limits.body = 1 << 20;
    /// handle.reconfigure(config)?;
    /// # handle.stop_now();
    /// # Ok::<(), millpond::Error>(())
    /// ```
    pub fn reconfigure(&self, mut config: Config) -> Result<(), Error> {
        config.check()?;
        builder::fit_descriptors(&mut config);
        let asked = config.limits.connections;
        self.0.shared.reconfigure(config).map_err(|room| {
            Error::new(
                ErrorKind::Config,
                format!("limits.connections ({asked}) is more than there is room for ({room})"),
            )
            .with_hint("ask for fewer, or start anew")
        })
    }

    /// What it has done, and is activity.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::of(&self.0.shared)
    }

    /// What each worker is doing at this moment, and for how long.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerState> {
        self.0.shared.counters.activities(Instant::now())
    }

    /// Wakes the acceptor, and tells how often it has gone round before. A later call that gets the
    /// same number has found it stuck: a watchdog asks every few seconds.
    #[must_use]
    pub fn acceptor_rounds(&self) -> u64 {
        let shared = &self.0.shared;
        let rounds = shared.counters.accept.rounds.load(Ordering::SeqCst);
        shared.connections.acceptor.wake();
        rounds
    }

    /// Stops gracefully: accepts what the backlog holds (that of a listener which was
    /// [passed in](crate::Bind::passed) is left to the next program), stops listening, closes idle
    /// connections, answers what is queued and in hand with `Connection: close`; all within
    /// `deadline`. Then the threads end. A handler that still runs after the deadline cannot be
    /// interrupted: its thread is left behind.
    ///
    /// Of several calls, the first drains; the others wait for it and get the same report.
    pub fn drain(&self, deadline: Duration) -> DrainReport {
        let inner = &*self.0;
        inner.shared.drain();
        let mut report = lock(&inner.report);
        if let Some(report) = &*report {
            return report.clone();
        }
        let began = Instant::now();
        let before = self.stats();
        inner.await_last(began.checked_add(deadline));
        let cut_off = inner.unfinished().max(inner.interrupted.load(Ordering::SeqCst));
        inner.shared.stop();
        inner.join(Instant::now() + Duration::from_millis(500));
        let after = self.stats();
        let done = DrainReport {
            served: after.served,
            refused: after.refused_total(),
            served_while_draining: after.served - before.served,
            cut_off,
            elapsed: began.elapsed(),
        };
        *report = Some(done.clone());
        done
    }

    /// Stops at once: what is queued or in hand is cut off.
    pub fn stop_now(&self) -> DrainReport {
        let inner = &*self.0;
        // Where a drain is interrupted, what it still waited for is counted before it is closed.
        if inner.shared.is_draining() {
            inner.interrupted.fetch_max(inner.unfinished(), Ordering::SeqCst);
        }
        inner.shared.drain();
        inner.shared.stop();
        self.drain(Duration::ZERO)
    }

    /// Waits until another thread has drained or stopped it.
    pub fn wait(&self) -> DrainReport {
        // A condition of its own: the end of a connection, of which there are thousands a second,
        // must not wake this thread.
        self.0.shared.connections.accepting.wait(None, || !self.0.is_accepting());
        self.drain(self.0.shared.config.load().timeouts.drain)
    }
}

impl Inner {
    /// Connections that are open, and datagrams that wait for their handler.
    fn unfinished(&self) -> u64 {
        self.shared.connections.live() as u64 + self.shared.datagrams.waiting()
    }

    fn is_accepting(&self) -> bool {
        let threads = lock(&self.threads);
        threads.iter().any(|it| it.thread.thread().name() == Some(ACCEPTOR) && !it.has_ended())
    }

    /// Waits until no connection and no datagram is left, or the deadline; `None` is one that this
    /// clock does not reach.
    fn await_last(&self, deadline: Option<Instant>) {
        let shared = &self.shared;
        shared.connections.completion.wait(deadline, || {
            let idle = shared.connections.live() == 0 && shared.datagrams.waiting() == 0;
            shared.is_stopped() || (idle && !self.is_accepting())
        });
    }

    /// Joins the threads that end before the deadline.
    fn join(&self, deadline: Instant) {
        let threads = std::mem::take(&mut *lock(&self.threads));
        self.shared
            .connections
            .completion
            .wait(Some(deadline), || threads.iter().all(Running::has_ended));
        let (ended, running): (Vec<_>, Vec<_>) = threads.into_iter().partition(Running::has_ended);
        for Running { thread, .. } in ended {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                log::error!("{name} had panicked");
            }
        }
        if !running.is_empty() {
            log::warn!("{} threads are still in a handler, and are left behind", running.len());
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("addrs", &self.0.addrs).finish_non_exhaustive()
    }
}

/// What came of a graceful stop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Requests answered by a handler, since the server started.
    pub served: u64,
    /// Requests and connections refused, since the server started.
    pub refused: u64,
    /// Of those answered, the ones after the server was told to stop.
    pub served_while_draining: u64,
    /// Connections that were still open, and datagrams that were not answered, when the deadline
    /// passed.
    pub cut_off: u64,
    /// How long the stop took.
    pub elapsed: Duration,
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "served {} ({} while stopping), refused {}, cut off {}, in {:.3} s",
            self.served,
            self.served_while_draining,
            self.refused,
            self.cut_off,
            self.elapsed.as_secs_f64()
        )
    }
}

fn system(message: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::System, message).with_source(error)
}
