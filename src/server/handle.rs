//! [`Handle`]: a running server, which it reports on, reconfigures, drains and stops.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::descriptors::fit_descriptors;
use super::threads::ServerThread;
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::net::Addr;
use crate::pool::{Shared, Stats, WorkerState};
use crate::sync::lock;

/// A running server. Clones refer to the same one; dropping them all does not stop it.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    addrs: Vec<Addr>,
    endpoints: Vec<String>,
    threads: Mutex<Vec<ServerThread>>,
    /// What a drain still waited for when it was interrupted.
    interrupted: AtomicU64,
    /// Set once the server has stopped. The lock is held while it does.
    report: Mutex<Option<DrainReport>>,
}

impl Handle {
    pub(super) fn new(
        shared: Arc<Shared>,
        addrs: Vec<Addr>,
        endpoints: Vec<String>,
        threads: Vec<ServerThread>,
    ) -> Self {
        Self(Arc::new(Inner {
            shared,
            addrs,
            endpoints,
            threads: Mutex::new(threads),
            interrupted: AtomicU64::new(0),
            report: Mutex::new(None),
        }))
    }

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
        fit_descriptors(&mut config);
        let requested = config.limits.connections;
        self.0.shared.reconfigure(config).map_err(|room| {
            Error::new(
                ErrorKind::Config,
                format!("limits.connections ({requested}) is more than there is room for ({room})"),
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
        inner.wait_until_idle(began.checked_add(deadline));
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
        threads.iter().any(|thread| thread.is_acceptor() && !thread.has_ended())
    }

    /// Waits until no connection and no datagram is left, or the deadline; `None` is one that this
    /// clock does not reach.
    fn wait_until_idle(&self, deadline: Option<Instant>) {
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
            .wait(Some(deadline), || threads.iter().all(ServerThread::has_ended));
        let (ended, running): (Vec<_>, Vec<_>) =
            threads.into_iter().partition(ServerThread::has_ended);
        for thread in ended {
            let name = thread.name().to_owned();
            if thread.thread.join().is_err() {
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
