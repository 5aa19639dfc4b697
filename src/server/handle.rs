//! [`Handle`]: reports on, reconfigures, drains and stops a running server.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::accept_queues::Listening;
#[cfg(feature = "admin")]
use super::admin_endpoints::AdminEndpoints;
use super::descriptors::fit_descriptors;
use super::report::DrainReport;
use super::state::ServerState;
use super::threads::{Parts, ServerThread, join_ended, spawn_thread};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::net::Addr;
use crate::pool::{Shared, Stats, WorkerState};
use crate::sync::lock;

/// How long a stop waits for the threads to end. Only a thread in a handler needs longer.
const JOIN_TIMEOUT: Duration = Duration::from_millis(500);

/// A running server. Clones refer to the same server. Dropping all of them does not stop it.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    addrs: Vec<Addr>,
    endpoints: Vec<String>,
    listening: Listening,
    threads: Mutex<Vec<ServerThread>>,
    /// Whether the threads have been started.
    has_started: AtomicBool,
    #[cfg(feature = "admin")]
    admin: OnceLock<AdminEndpoints>,
    /// Connections and datagrams that a drain was waiting for when [`Handle::stop_now`] interrupted
    /// it.
    interrupted: AtomicU64,
    /// Held by the thread that stops the server.
    stopping: Mutex<()>,
    /// Set once the server has stopped.
    report: OnceLock<DrainReport>,
    /// The tasks that wait for the report, by the number of their [`Stopped`].
    wakers: Mutex<BTreeMap<u64, Waker>>,
    /// The number of the next [`Stopped`].
    next_stopped: AtomicU64,
}

impl Handle {
    pub(super) fn new(
        shared: Arc<Shared>,
        addrs: Vec<Addr>,
        endpoints: Vec<String>,
        listening: Listening,
    ) -> Self {
        Self(Arc::new(Inner {
            shared,
            addrs,
            endpoints,
            listening,
            threads: Mutex::default(),
            has_started: AtomicBool::new(false),
            #[cfg(feature = "admin")]
            admin: OnceLock::new(),
            interrupted: AtomicU64::new(0),
            stopping: Mutex::default(),
            report: OnceLock::new(),
            wakers: Mutex::default(),
            next_stopped: AtomicU64::new(0),
        }))
    }

    /// Starts the threads, unless the server is stopping already.
    pub(super) fn start(&self, mut parts: Parts) -> Result<(), Error> {
        let inner = &*self.0;
        let gate = {
            // A thread that stops the server before they start waits for no thread.
            let mut threads = lock(&inner.threads);
            if inner.shared.is_draining() {
                return Ok(());
            }
            parts.start_workers(&mut threads)?
        };
        // Without the lock, so that another thread can stop the server meanwhile.
        gate.wait()?;
        // A thread that stops the server waits for the acceptor if it sees that this has started.
        let mut threads = lock(&inner.threads);
        if inner.shared.is_draining() {
            return Ok(());
        }
        inner.has_started.store(true, Ordering::SeqCst);
        parts.start_others(&mut threads)
    }

    #[cfg(feature = "admin")]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Registers the endpoints of the admin thread, and what ends it.
    #[cfg(feature = "admin")]
    pub(super) fn set_admin(&self, endpoints: AdminEndpoints) {
        // A server has one.
        let _ = self.0.admin.set(endpoints);
    }

    /// The addresses that the server is bound to, with the actual ports.
    #[must_use]
    pub fn local_addrs(&self) -> &[Addr] {
        &self.0.addrs
    }

    /// The endpoints that the server is bound to, as text with the actual ports: `tcp://[::]:8888`.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.0.endpoints
    }

    /// The admin endpoint, as text with the actual port, if the server has one: see
    /// [`Builder::admin`](crate::Builder::admin).
    #[cfg(feature = "admin")]
    #[must_use]
    pub fn admin_endpoint(&self) -> Option<&str> {
        self.0.admin.get()?.admin.as_deref()
    }

    /// The agent's endpoint, as text with the actual port, if the server has one: see
    /// [`Builder::agent`](crate::Builder::agent).
    #[cfg(feature = "admin")]
    #[must_use]
    pub fn agent_endpoint(&self) -> Option<&str> {
        self.0.admin.get()?.agent.as_deref()
    }

    /// Replaces the configuration of the running server. Open connections stay open. Each turn of a
    /// connection uses one configuration throughout, and a wait that has begun keeps its deadline.
    ///
    /// [`Config::pool`] does not change: threads and the queue are created at the start. Nor does
    /// `timeouts.defer_accept`, which is set when a listener is bound.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if a value is out of range, if values contradict each other, or if
    /// `limits.connections` exceeds the room for connections. That room is the number at the start
    /// or, if it is higher, the number of descriptors that the process may open (`RLIMIT_NOFILE`).
    /// After an error, the previous configuration remains in effect.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Request, Response};
    /// use millpond::{Config, Server};
    ///
    /// let server = Server::builder().bind("tcp://127.0.0.1:0");
    /// let handle = server.http(|_: &mut Request| Response::text("Hello")).build()?.spawn()?;
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
                format!(
                    "limits.connections ({requested}) exceeds the room for connections ({room})"
                ),
            )
            .with_hint("lower it, or restart the server")
        })
    }

    /// Counts a reload of the program's own settings, for [`Stats::reloads`]: a program calls it
    /// after it has applied new settings, by [`reconfigure`](Self::reconfigure) or otherwise, or
    /// has failed to.
    pub fn note_reload(&self, succeeded: bool) {
        self.0.shared.note_reload(succeeded);
    }

    /// The statistics of the server since its start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::of(&self.0.shared)
    }

    pub(super) fn listening(&self) -> &Listening {
        &self.0.listening
    }

    /// What each worker is doing at this moment, and for how long.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerState> {
        self.0.shared.worker_states()
    }

    /// Wakes the acceptor, and returns how many rounds it had completed before. If two calls some
    /// seconds apart return the same number, the acceptor is stuck: this is for watchdogs.
    #[must_use]
    pub fn acceptor_rounds(&self) -> u64 {
        self.0.shared.acceptor_rounds()
    }

    /// The stage of the server's life.
    #[must_use]
    pub fn state(&self) -> ServerState {
        let (inner, shared) = (&*self.0, &self.0.shared);
        if shared.is_stopped() {
            ServerState::Stopped
        } else if shared.is_draining() {
            ServerState::Draining
        } else if shared.is_leaving() {
            ServerState::LameDuck
        } else if inner.has_started.load(Ordering::SeqCst) {
            ServerState::Running
        } else {
            ServerState::Starting
        }
    }

    /// Whether proxies should send requests to this server: it has started, and no stop was asked
    /// for. Overload does not change it: a server that refuses what is too much is still worth its
    /// share of the requests.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state() == ServerState::Running
    }

    /// Announces a stop: from now on, the server is not [ready](Self::is_ready), and each response
    /// has `Connection: close`. It still accepts connections and serves them, until the program
    /// calls [`drain`](Self::drain). Proxies use the time between the two calls to notice, and to
    /// send their requests elsewhere. Idle connections stay open until their next response.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::Request;
    /// use millpond::{Server, ServerState};
    /// use std::time::Duration;
    ///
    /// let server = Server::builder().bind("tcp://127.0.0.1:0");
    /// let handle = server.http(|_: &mut Request| "Hello").build()?.spawn()?;
    /// assert!(handle.is_ready());
    /// handle.lame_duck();
    /// assert_eq!(handle.state(), ServerState::LameDuck);
    /// std::thread::sleep(Duration::from_millis(10)); // longer than the proxies need
    /// handle.drain(Duration::from_secs(30));
    /// assert_eq!(handle.state(), ServerState::Stopped);
    /// # Ok::<(), millpond::Error>(())
    /// ```
    pub fn lame_duck(&self) {
        self.0.shared.lame_duck();
    }

    /// Stops gracefully, within `deadline`. The server accepts the connections in the backlog,
    /// except those of a listener that was [passed in](crate::Bind::passed), which the next program
    /// accepts. It then stops listening, and responds to the requests that are queued or in
    /// progress, with `Connection: close`. It closes an idle connection once no request has arrived
    /// on it for [`timeouts.drain_idle`](crate::config::Timeouts::drain_idle), so that no request
    /// on its way finds the connection closed. Then its threads end. A handler that still runs
    /// after the deadline cannot be interrupted: its thread keeps running. A tenth of `deadline`
    /// before that, and at most a second before, the requests that are still served are
    /// [cancelled](crate::http::Request::cancelled).
    ///
    /// If several threads call this, the first call drains, and the others wait for it and return
    /// the same report. The start of a server whose workers are not ready yet is given up.
    pub fn drain(&self, deadline: Duration) -> DrainReport {
        let inner = &*self.0;
        inner.shared.drain(deadline);
        // A thread that waits for a server which has not started is woken by this alone.
        inner.shared.notify_waiters();
        let stopping = lock(&inner.stopping);
        if let Some(report) = inner.report.get() {
            return report.clone();
        }
        let began = Instant::now();
        let before = self.stats();
        // A deadline beyond the range of the clock counts as no deadline.
        inner.shared.wait_until_idle(began.checked_add(deadline), || !inner.is_accepting());
        let cut_off = inner.shared.unfinished().max(inner.interrupted.load(Ordering::SeqCst));
        inner.shared.stop();
        #[cfg(feature = "admin")]
        if let Some(admin) = inner.admin.get() {
            admin.waker.wake();
        }
        inner.join(Instant::now() + JOIN_TIMEOUT);
        let after = self.stats();
        let done = DrainReport {
            served: after.served,
            refused: after.refused_total(),
            served_while_draining: after.served - before.served,
            cut_off,
            elapsed: began.elapsed(),
        };
        let done = inner.report.get_or_init(|| done).clone();
        drop(stopping);
        // Woken without the lock: an executor may poll, or drop, the task at once.
        let wakers = std::mem::take(&mut *lock(&inner.wakers));
        wakers.into_values().for_each(Waker::wake);
        done
    }

    /// Waits until no connection is open, or for `timeout`.
    pub(crate) fn wait_for_connections(&self, timeout: Duration) {
        let shared = &self.0.shared;
        shared.wait_for_threads(Instant::now() + timeout, || shared.unfinished() == 0);
    }

    /// Stops immediately, and closes the connections whose requests are queued or in progress.
    /// Requests in progress are [cancelled](crate::http::Request::cancelled).
    pub fn stop_now(&self) -> DrainReport {
        let inner = &*self.0;
        // Counted first, as the threads close connections as soon as the server stops. The highest
        // count is kept, as a second call finds fewer.
        inner.interrupted.fetch_max(inner.shared.unfinished(), Ordering::SeqCst);
        inner.shared.drain(Duration::ZERO);
        inner.shared.stop();
        self.drain(Duration::ZERO)
    }

    /// Starts a [`drain`](Self::drain) on a thread of its own, and returns at once: for a thread
    /// that must not block, such as one that handles signals. [`wait`](Self::wait) or
    /// [`stopped`](Self::stopped) then returns the report. If the system cannot start the thread,
    /// the calling thread drains.
    pub fn begin_drain(&self, deadline: Duration) {
        // The server stops accepting at once, even if the thread starts late.
        self.0.shared.drain(deadline);
        let handle = self.clone();
        let drain = move || {
            handle.drain(deadline);
        };
        if let Err(error) = spawn_thread("drain", drain) {
            log::warn!("cannot start the thread that drains: {error}");
            self.drain(deadline);
        }
    }

    /// Waits until another thread has drained or stopped the server.
    pub fn wait(&self) -> DrainReport {
        let inner = &*self.0;
        // The end of a connection notifies another condition variable: it happens thousands of
        // times a second, and must not wake this thread.
        inner.shared.wait_for_acceptor(|| inner.has_stopped_accepting());
        self.drain(inner.shared.config().timeouts.drain)
    }

    /// The report, if the server has stopped. It does not wait.
    #[must_use]
    pub fn report(&self) -> Option<DrainReport> {
        self.0.report.get().cloned()
    }

    /// A future that is ready once the server has stopped, for programs that run an executor. It
    /// does not stop the server: see [`begin_drain`](Self::begin_drain).
    ///
    /// # Examples
    /// ```
    /// use millpond::Server;
    /// use millpond::http::Request;
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    /// use std::time::Duration;
    ///
    /// let server = Server::builder().bind("tcp://127.0.0.1:0");
    /// let handle = server.http(|_: &mut Request| "Hello").build()?.spawn()?;
    /// let mut stopped = pin!(handle.stopped());
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(stopped.as_mut().poll(&mut context).is_pending());
    /// handle.drain(Duration::from_secs(1));
    /// assert!(stopped.as_mut().poll(&mut context).is_ready());
    /// # use std::future::Future;
    /// # Ok::<(), millpond::Error>(())
    /// ```
    pub fn stopped(&self) -> Stopped {
        let number = self.0.next_stopped.fetch_add(1, Ordering::Relaxed);
        Stopped { handle: self.clone(), number }
    }
}

/// A future that is ready once the server has stopped: see [`Handle::stopped`].
#[derive(Debug)]
#[must_use]
pub struct Stopped {
    handle: Handle,
    /// The number under which its task waits.
    number: u64,
}

impl Future for Stopped {
    type Output = DrainReport;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<DrainReport> {
        let handle = &self.handle;
        let waker = context.waker().clone();
        let replaced = lock(&handle.0.wakers).insert(self.number, waker);
        drop(replaced);
        // Looked at after the waker was stored: a report that is stored later wakes it.
        handle.report().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Clone for Stopped {
    fn clone(&self) -> Self {
        self.handle.stopped()
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let waker = lock(&self.handle.0.wakers).remove(&self.number);
        drop(waker);
    }
}

impl Inner {
    /// Whether the acceptor has ended, or never started and never will.
    fn has_stopped_accepting(&self) -> bool {
        let begun = self.has_started.load(Ordering::SeqCst) || self.shared.is_draining();
        begun && !self.is_accepting()
    }

    fn is_accepting(&self) -> bool {
        let threads = lock(&self.threads);
        threads.iter().any(|thread| thread.is_acceptor() && !thread.has_ended())
    }

    /// Joins the threads that end before the deadline.
    fn join(&self, deadline: Instant) {
        let threads = std::mem::take(&mut *lock(&self.threads));
        self.shared.wait_for_threads(deadline, || threads.iter().all(ServerThread::has_ended));
        join_ended(threads);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("addrs", &self.0.addrs).finish_non_exhaustive()
    }
}
