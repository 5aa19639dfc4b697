//! [`Shared`]: what the threads of a server share, and how the server stops.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use rustix::process::{Resource, getrlimit};

use crate::config::{Config, Pool};
use crate::pool::cancel::Cancellations;
use crate::pool::client_waits::ClientWaits;
use crate::pool::connection::{Connection, HOLD};
use crate::pool::connections::Connections;
use crate::pool::datagram::lend::LentSockets;
use crate::pool::datagram::socket::DatagramSocket;
use crate::pool::datagram::stats::Datagrams;
use crate::pool::hash_limit::HashLimit;
use crate::pool::leader::Leader;
use crate::pool::output_memory::PendingPool;
use crate::pool::overload::controller::Controller;
use crate::pool::overload::refusal_budget::{Allowance, RefusalBudgets, Refused};
use crate::pool::poller::Poller;
use crate::pool::queue::Queue;
use crate::pool::source::client_key;
use crate::pool::stats::counters::Counters;
#[cfg(feature = "admin")]
use crate::pool::stats::histogram::HistogramSnapshot;
use crate::pool::stats::load_meter::{LoadMeter, LoadTotals};
#[cfg(feature = "admin")]
use crate::pool::stats::watch::Watch;
use crate::pool::stats::worker_state::WorkerState;
use crate::pool::upgrades::{Job, Upgrades};
#[cfg(feature = "tls")]
use crate::sync::LogThrottle;
use crate::sync::{Waker, later, lock};

/// The server accepts and serves.
const RUNNING: u8 = 0;
/// A stop was asked for. The server still accepts and serves, and each response closes its
/// connection.
const LAME_DUCK: u8 = 1;
/// The server finishes what it has accepted, and accepts no more.
const DRAINING: u8 = 2;
/// The threads end.
const STOPPED: u8 = 3;

/// Whether a handler of this process serves files. A connection may then use a second descriptor.
pub(crate) static OPENS_FILES: AtomicBool = AtomicBool::new(false);

/// What the threads of a server share.
pub(crate) struct Shared {
    /// The number of threads and the length of the queue, which are fixed at the start.
    pub(super) pool: Pool,
    /// The settings in force. They are replaced as a whole, so that a thread which has loaded them
    /// never sees a mixture of old and new ones.
    pub(super) config: ArcSwap<Config>,
    pub(super) connections: Arc<Connections>,
    pub(super) queue: Queue,
    pub(super) poller: Poller,
    pub(super) leader: Leader,
    pub(super) counters: Counters,
    pub(super) datagrams: Datagrams,
    pub(super) lent_sockets: LentSockets,
    /// The memory for responses that slow readers have not read yet.
    pub(super) pending: Arc<PendingPool>,
    /// The memory for requests that are incomplete.
    pub(super) input: Arc<PendingPool>,
    /// The bound on workers that wait for clients.
    pub(super) client_waits: Arc<ClientWaits>,
    pub(super) upgrades: Upgrades,
    /// The requests whose handlers want to know when they are cancelled.
    pub(super) cancellations: Cancellations,
    /// Limits the log lines about handshakes that failed.
    #[cfg(feature = "tls")]
    pub(super) handshake_log: LogThrottle,
    /// Permits for hashing passwords.
    pub(super) hash_limit: Arc<HashLimit>,
    /// Readable once the server drains, for threads outside of the pool.
    pub(super) stopping: Waker,
    /// The rates of the server, for load reports.
    pub(super) load_meter: LoadMeter,
    /// The CPU time that refusals may take.
    budgets: RefusalBudgets,
    /// [`RUNNING`], [`LAME_DUCK`], [`DRAINING`] or [`STOPPED`]; it only rises. A thread that falls
    /// asleep looks at it after announcing its sleep, as it looks for work: hence sequentially
    /// consistent.
    stage: AtomicU8,
    draining_since: OnceLock<Instant>,
    /// The end of the drain, as the first to drain set it.
    drained_by: OnceLock<Instant>,
    stopped_at: OnceLock<Instant>,
}

impl Shared {
    /// `urgent`: whether there is one more worker, for urgent work only.
    pub(crate) fn new(config: Config, urgent: bool) -> io::Result<Arc<Self>> {
        let epoch = Instant::now();
        let (pool, limits) = (&config.pool, &config.limits);
        let capacity = pool.queue_capacity();
        let cores = num_cpus::get();
        let controller = Controller::new(&config.overload, pool.workers, capacity, epoch);
        let controller = controller.with_cores(cores);
        Ok(Arc::new(Self {
            connections: Connections::new(
                limits.connections,
                Waker::new()?,
                controller.held_connections(),
            ),
            queue: Queue::new(capacity, controller).with_handshakes(pool.handshakes),
            poller: Poller::new(most_connections(limits.connections), epoch)?,
            leader: Leader::new(pool.workers),
            counters: Counters::new(pool.workers + usize::from(urgent), epoch),
            datagrams: Datagrams::default(),
            lent_sockets: LentSockets::default(),
            pending: PendingPool::new(limits.pending_total),
            input: PendingPool::new(limits.input_total),
            client_waits: ClientWaits::new(pool.workers, limits.waiting_workers),
            upgrades: Upgrades::new(pool.upgrades),
            cancellations: Cancellations::new(epoch),
            #[cfg(feature = "tls")]
            handshake_log: LogThrottle::every(Duration::from_secs(60)),
            hash_limit: Arc::new(HashLimit::new(pool.workers)),
            stopping: Waker::new()?,
            load_meter: LoadMeter::new(epoch, LoadTotals::at_start()),
            budgets: RefusalBudgets::new(config.overload.refuse_budget, cores, epoch),
            stage: AtomicU8::new(RUNNING),
            draining_since: OnceLock::new(),
            drained_by: OnceLock::new(),
            stopped_at: OnceLock::new(),
            pool: config.pool.clone(),
            config: ArcSwap::from_pointee(config),
        }))
    }

    /// The settings of the pool, which are fixed at the start.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The settings in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Registers the sockets whose datagrams are counted.
    pub(crate) fn count_datagrams_of(&self, sockets: &[Arc<DatagramSocket>]) {
        self.datagrams.register_sockets(sockets);
    }

    /// Sets how threads for upgraded connections are made.
    pub(crate) fn spawn_upgrades_with(
        &self,
        spawn: impl Fn(Job) -> io::Result<()> + Send + Sync + 'static,
    ) {
        self.upgrades.spawn_with(spawn);
    }

    /// Sets how the thread is made that runs the callbacks of requests that are cancelled.
    pub(crate) fn spawn_canceller_with(
        &self,
        spawn: impl Fn(Job) -> io::Result<()> + Send + Sync + 'static,
    ) {
        self.cancellations.spawn_with(spawn);
    }

    /// What each worker is doing.
    pub(crate) fn worker_states(&self) -> Vec<WorkerState> {
        self.counters.activities(Instant::now())
    }

    /// Counts a reload of the program's settings.
    pub(crate) fn note_reload(&self, succeeded: bool) {
        lock(&self.counters.reloads).note(succeeded, SystemTime::now());
    }

    /// Counts a connection of a trusted proxy for the client of its next request.
    pub(crate) fn count_for_client(&self, connection: &mut Connection) {
        let key = client_key(connection.wire.stream(), connection.client_or_peer());
        connection.bucket = self.queue.controller.bucket(key);
        self.counters.watch.note_client(connection.bucket, key);
    }

    /// Wakes the acceptor, and returns how many rounds it had completed before.
    pub(crate) fn acceptor_rounds(&self) -> u64 {
        let rounds = self.counters.accept.rounds.load(Ordering::SeqCst);
        self.connections.acceptor.wake();
        rounds
    }

    /// The time since the server was made.
    #[cfg(feature = "admin")]
    pub(crate) fn uptime(&self) -> Duration {
        self.counters.epoch().elapsed()
    }

    /// What is recorded only for an admin endpoint.
    #[cfg(feature = "admin")]
    pub(crate) fn watch(&self) -> &Watch {
        &self.counters.watch
    }

    /// The times in the queue, and those to serve a request, since the start.
    #[cfg(feature = "admin")]
    pub(crate) fn histograms(&self) -> (HistogramSnapshot, HistogramSnapshot) {
        (self.counters.wait.snapshot(), self.counters.service.snapshot())
    }

    /// Open connections, and datagrams that wait for their handler.
    pub(crate) fn unfinished(&self) -> u64 {
        self.connections.live() as u64 + self.datagrams.waiting()
    }

    /// Waits until `done` returns true. It is checked again whenever a thread ends.
    pub(crate) fn wait_for_acceptor(&self, done: impl FnMut() -> bool) {
        self.connections.accepting.wait(None, done);
    }

    /// Waits until the server has stopped, or until nothing is [unfinished](Self::unfinished) and
    /// `done`, or until the deadline.
    pub(crate) fn wait_until_idle(&self, deadline: Option<Instant>, done: impl Fn() -> bool) {
        self.connections
            .completion
            .wait(deadline, || self.is_stopped() || (self.unfinished() == 0 && done()));
    }

    /// Waits until `done` returns true, or until the deadline. It is checked again whenever a
    /// thread ends.
    pub(crate) fn wait_for_threads(&self, deadline: Instant, done: impl FnMut() -> bool) {
        self.connections.completion.wait(Some(deadline), done);
    }

    /// Notifies the threads that wait for the end of others, or of the server.
    pub(crate) fn notify_waiters(&self) {
        self.connections.accepting.notify();
        self.connections.completion.notify();
    }

    /// How much a refusal may cost now.
    ///
    /// It looks at the clock itself: with the time at which a thread began to look at a request,
    /// the time for which the thread was preempted since would count as debt.
    pub(crate) fn refusal_allowance(&self, refused: Refused) -> Allowance {
        self.budgets.of(refused).allowance(Instant::now())
    }

    /// How long to delay a refusal that gets a response in any case.
    pub(crate) fn refusal_delay(&self) -> Duration {
        self.budgets.of(Refused::Request).delay(Instant::now(), HOLD)
    }

    /// The CPU time spent on refusing since the start.
    pub(crate) fn spent_refusing(&self) -> Duration {
        self.budgets.spent()
    }

    /// Charges CPU time that was spent on refused work.
    pub(crate) fn charge_refusing(&self, refused: Refused, cost: Duration) {
        self.budgets.of(refused).charge(Instant::now(), cost);
    }

    /// Whether new connections and datagrams wait in the kernel for now: the queue is full, and
    /// serving what is in it costs less than refusing more. Not while draining, when all that waits
    /// in the kernel is to be accepted.
    pub(crate) fn applies_backpressure(&self) -> bool {
        self.queue.is_full_of_cheap_work() && !self.is_draining()
    }

    /// Whether a stop was asked for, so that responses close their connections.
    pub(crate) fn is_leaving(&self) -> bool {
        self.stage.load(Ordering::SeqCst) >= LAME_DUCK
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.stage.load(Ordering::SeqCst) >= DRAINING
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stage.load(Ordering::SeqCst) == STOPPED
    }

    pub(crate) fn draining_since(&self) -> Instant {
        *self.draining_since.get_or_init(Instant::now)
    }

    /// Replaces the settings, except those of the pool. A connection that is parked keeps its
    /// deadline.
    ///
    /// # Errors
    /// The number of connections that there is room for, if the new limit is higher.
    pub(crate) fn reconfigure(&self, mut config: Config) -> Result<(), usize> {
        let room = self.poller.capacity();
        if config.limits.connections > room {
            return Err(room);
        }
        config.pool = self.pool.clone();
        self.queue.controller.reconfigure(&config.overload);
        self.budgets.set_share(config.overload.refuse_budget);
        self.pending.set_limit(config.limits.pending_total);
        self.input.set_limit(config.limits.input_total);
        self.client_waits.set_most(config.limits.waiting_workers);
        self.connections.set_limit(config.limits.connections);
        self.config.store(Arc::new(config));
        self.connections.acceptor.wake();
        Ok(())
    }

    /// When the server stops, whatever is still in progress; `None` if it does not drain.
    pub(crate) fn drain_deadline(&self) -> Option<Instant> {
        if !self.is_draining() {
            return None;
        }
        self.drained_by.get().into_iter().chain(self.stopped_at.get()).min().copied()
    }

    /// A quarter of the time that the drain may take; zero if it has not begun.
    pub(super) fn quarter_of_drain(&self) -> Duration {
        let since = self.draining_since();
        let whole = self.drain_deadline().map(|at| at.saturating_duration_since(since));
        whole.unwrap_or_default() / 4
    }

    /// Makes each response close its connection from now on, while the server accepts and serves
    /// as before. No thread needs to be woken for that.
    pub(crate) fn lame_duck(&self) {
        self.stage.fetch_max(LAME_DUCK, Ordering::SeqCst);
    }

    /// Starts draining, and wakes all threads. The first call sets the deadline, at which the
    /// caller [stops](Self::stop) the server.
    pub(crate) fn drain(&self, deadline: Duration) {
        let since = self.draining_since();
        self.drained_by.get_or_init(|| later(since, deadline));
        self.stage.fetch_max(DRAINING, Ordering::SeqCst);
        self.stopping.wake();
        self.cancellations.check_soon();
        self.wake_all_threads();
    }

    /// Ends the threads, each as soon as its current work is done.
    pub(crate) fn stop(&self) {
        self.stopped_at.get_or_init(Instant::now);
        self.stage.store(STOPPED, Ordering::SeqCst);
        self.cancellations.stop();
        self.wake_all_threads();
        self.connections.completion.notify();
    }
}

/// The number of connections to reserve slots for, as the limit may be raised later: as many as the
/// process may have descriptors. A chunk of 256 slots costs three words until it is used.
fn most_connections(limit: usize) -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    limit.max(descriptors.min(1 << 20) as usize)
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("connections", &self.connections)
            .field("queued", &self.queue.len())
            .finish_non_exhaustive()
    }
}
