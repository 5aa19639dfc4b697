//! [`Server`]: the only maker of channels and threads. Start, drain, join.

mod builder;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread::{Builder as ThreadBuilder, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::net::Addr;
use crate::pool::acceptor::{Acceptor, Source};
use crate::pool::monitor::Monitor;
use crate::pool::slots::lock;
use crate::pool::worker::Worker;
use crate::pool::{Mill, Stats, WorkerState};
pub use builder::{Bind, Builder, Service};

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
    mill: Arc<Mill>,
    sources: Vec<Source>,
}

impl Server {
    /// Starts with the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The addresses it is bound to, with the real ports.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<Addr> {
        self.sources.iter().filter_map(|source| source.listener.local_addr().ok()).collect()
    }

    /// The endpoints it is bound to as text, with the real ports: `tcp://[::]:8888`.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.sources.iter().map(|source| source.listener.endpoint_text()).collect()
    }

    /// Runs until another thread [drains](Handle::drain) or stops it. Only useful with a handle that
    /// was taken before: see [`spawn`](Self::spawn).
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
        let mill = self.mill;
        let mut threads = Vec::new();
        let started = start(&mill, self.sources, &mut threads);
        let handle = Handle(Arc::new(Inner {
            mill,
            addrs,
            endpoints,
            threads: Mutex::new(threads),
            report: Mutex::new(None),
        }));
        if let Err(error) = started {
            handle.stop_now();
            return Err(system("cannot start a thread", error)
                .with_hint("lower the number of workers, or raise the limit on threads"));
        }
        Ok(handle)
    }
}

fn start(
    mill: &Arc<Mill>,
    sources: Vec<Source>,
    threads: &mut Vec<JoinHandle<()>>,
) -> io::Result<()> {
    for index in 0..mill.pool.workers {
        let worker = Worker { index, mill: Arc::clone(mill), seats: mill.seats() };
        threads.push(thread(&format!("worker-{index}"), move || worker.run())?);
    }
    let monitor = Monitor::new(Arc::clone(mill), mill.seats());
    threads.push(thread("monitor", move || monitor.run())?);
    mill.upgrades.spawn_with(|job| thread("upgraded", job).map(drop));
    let acceptor = Acceptor::new(Arc::clone(mill), sources, mill.seats());
    threads.push(thread("acceptor", move || acceptor.run())?);
    Ok(())
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    ThreadBuilder::new().name(name.to_owned()).spawn(run)
}

/// A running server. Clones refer to the same one; dropping them all does not stop it.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    mill: Arc<Mill>,
    addrs: Vec<Addr>,
    endpoints: Vec<String>,
    threads: Mutex<Vec<JoinHandle<()>>>,
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
    /// [`ErrorKind::Config`] for settings that are out of range or contradict each other, or for more
    /// connections than there is room for: at least as many as at the start, and as many as the
    /// process may have descriptors (`RLIMIT_NOFILE`). Then nothing has changed.
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
        self.0.mill.reconfigure(config).map_err(|room| {
            Error::new(
                ErrorKind::Config,
                format!("limits.connections ({asked}) is more than there is room for ({room})"),
            )
            .with_hint("ask for fewer, or start anew")
        })
    }

    /// What it has done, and is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::of(&self.0.mill)
    }

    /// What each worker is doing at this moment, and for how long.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerState> {
        self.0.mill.counters.activities(Instant::now())
    }

    /// Stops gracefully: accepts what the backlog holds, stops listening, closes idle connections,
    /// answers what is queued and in hand with `Connection: close`; all within `deadline`. Then the
    /// threads end. A handler that still runs after the deadline cannot be interrupted: its thread is
    /// left behind.
    ///
    /// Of several calls, the first drains; the others wait for it and get the same report.
    pub fn drain(&self, deadline: Duration) -> DrainReport {
        let inner = &*self.0;
        inner.mill.drain();
        let mut report = lock(&inner.report);
        if let Some(report) = &*report {
            return report.clone();
        }
        let began = Instant::now();
        let before = self.stats();
        inner.await_last(began + deadline);
        let cut_off = inner.mill.ledger.live() as u64;
        inner.mill.stop();
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
        self.0.mill.drain();
        self.0.mill.stop();
        self.drain(Duration::ZERO)
    }

    /// Waits until another thread has drained or stopped it.
    pub fn wait(&self) -> DrainReport {
        let acceptor = lock(&self.0.threads).pop();
        if let Some(acceptor) = acceptor {
            // It panics only if the program is wrong; the report is due all the same.
            let _ = acceptor.join();
        }
        self.drain(self.0.mill.config.load().timeouts.drain)
    }
}

impl Inner {
    /// Waits until no connection is left, or the deadline.
    fn await_last(&self, deadline: Instant) {
        let ledger = &self.mill.ledger;
        loop {
            ledger.await_departure();
            let accepting = lock(&self.threads)
                .iter()
                .any(|thread| thread.thread().name() == Some("acceptor") && !thread.is_finished());
            let left = deadline.saturating_duration_since(Instant::now());
            let done = ledger.live() == 0 && !accepting;
            if done || left.is_zero() || self.mill.is_stopped() {
                return;
            }
            // The acceptor's end makes no sound; it takes no longer than the backlog is long.
            let left = if accepting { left.min(Duration::from_millis(1)) } else { left };
            let timeout =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let _ = poll(&mut [PollFd::new(&ledger.acceptor, PollFlags::IN)], Some(&timeout));
            if !accepting {
                ledger.acceptor.clear();
            }
        }
    }

    /// Joins the threads that end before the deadline.
    fn join(&self, deadline: Instant) {
        let mut threads = std::mem::take(&mut *lock(&self.threads));
        while !threads.is_empty() {
            let (ended, running): (Vec<_>, Vec<_>) =
                threads.into_iter().partition(JoinHandle::is_finished);
            for thread in ended {
                let name = thread.thread().name().unwrap_or_default().to_owned();
                if thread.join().is_err() {
                    log::error!("{name} had panicked");
                }
            }
            threads = running;
            if Instant::now() >= deadline {
                log::warn!("{} threads are still in a handler, and are left behind", threads.len());
                return;
            }
            if !threads.is_empty() {
                std::thread::park_timeout(Duration::from_millis(1));
            }
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
    /// Connections that were still open when the deadline passed.
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
