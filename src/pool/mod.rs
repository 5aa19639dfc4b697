//! The engine: acceptor, work queue, workers, poller. It knows connections and
//! [`Protocol`]s, never what is spoken.
//!
//! The modules in the order in which the water runs:
//!
//! ```text
//! acceptor ─► queue ─► worker ─► (protocol) ─► parking ─► queue …
//!               │ overload                        │ slots, deadlines
//!               ▼                                 ▼
//!            refused                    leader: who waits on epoll
//!                                       monitor: who sees that somebody does
//! ```

pub(crate) mod acceptor;
pub(crate) mod arrivals;
pub(crate) mod client_waits;
pub(crate) mod connection;
pub(crate) mod connections;
pub(crate) mod datagram;
pub(crate) mod eviction;
pub(crate) mod guard;
#[cfg_attr(not(feature = "files"), expect(dead_code, reason = "only files have passwords"))]
pub(crate) mod hash_limit;
pub(crate) mod leader;
pub(crate) mod monitor;
pub(crate) mod output;
pub(crate) mod output_memory;
pub(crate) mod overload;
pub(crate) mod overload_log;
pub(crate) mod poller;
pub(crate) mod protocol;
pub(crate) mod queue;
#[cfg(feature = "bench")]
pub(crate) mod queue_bench;
pub(crate) mod stats;
pub(crate) mod thread_time;
pub(crate) mod upgrades;
pub(crate) mod worker;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rustix::process::{Resource, getrlimit};

pub use crate::pool::datagram::socket::{DatagramHandler, DatagramStats};
pub use crate::pool::overload::refusal::Refusal;
pub use crate::pool::stats::counters::Stats;
pub use crate::pool::stats::worker_state::{WorkerActivity, WorkerState};
pub use connection::{Connection, Phase};
pub use output::Segment;
pub use protocol::{Outcome, Protocol, ProtocolWorker, TurnContext};

use crate::close::CloseReason;
use crate::config::{Config, Pool};
use crate::pool::connections::Connections;
use crate::pool::datagram::lend::LentSockets;
use crate::pool::datagram::socket::{Datagrams, QueuedDatagram};
use crate::pool::leader::Leader;
use crate::pool::output_memory::PendingPool;
use crate::pool::overload::controller::Controller;
use crate::pool::overload::refusal_budget::{Allowance, RefusalBudget};
use crate::pool::poller::Poller;
use crate::pool::stats::counters::Counters;
use crate::sync::Waker;
use client_waits::ClientWaits;
use guard::GuardedWorker;
use hash_limit::HashLimit;
use queue::{Queue, Queued, Work};
use thread_time::ThreadTime;
use upgrades::Upgrades;

/// The server takes what comes.
const RUNNING: u8 = 0;
/// It answers what it has, and takes nothing new.
const DRAINING: u8 = 1;
/// Its threads end.
const STOPPED: u8 = 2;

/// Whether a handler of this process serves files: then a connection may take a second descriptor.
pub(crate) static OPENS_FILES: AtomicBool = AtomicBool::new(false);

/// What the threads of a server share.
pub(crate) struct Shared {
    /// How many threads there are and how long the queue is: as it was at the start.
    pub(crate) pool: Pool,
    /// The settings in force. They are exchanged whole, so that whoever has loaded them sees no
    /// mixture.
    pub(crate) config: ArcSwap<Config>,
    pub(crate) protocols: Vec<Arc<dyn Protocol>>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) queue: Queue,
    pub(crate) poller: Poller,
    pub(crate) leader: Leader,
    pub(crate) counters: Counters,
    pub(crate) datagrams: Datagrams,
    pub(crate) lent_sockets: LentSockets,
    /// The memory for what slow readers have not yet taken.
    pub(crate) pending: Arc<PendingPool>,
    /// The memory for requests that have not come whole.
    pub(crate) input: Arc<PendingPool>,
    /// How many workers may wait for clients.
    pub(crate) client_waits: Arc<ClientWaits>,
    pub(crate) upgrades: Upgrades,
    /// Permits for hashing passwords.
    pub(crate) hash_limit: Arc<HashLimit>,
    /// Readable once the server drains: it wakes those who wait elsewhere.
    pub(crate) stopping: Waker,
    budget: RefusalBudget,
    stage: AtomicU8,
    draining_since: OnceLock<Instant>,
}

impl Shared {
    /// `urgent`: whether there is a worker more, for urgent work only.
    pub(crate) fn new(
        config: Config,
        protocols: Vec<Arc<dyn Protocol>>,
        urgent: bool,
    ) -> io::Result<Arc<Self>> {
        let epoch = Instant::now();
        let (pool, limits) = (&config.pool, &config.limits);
        let capacity = pool.queue_capacity();
        let cores = num_cpus::get();
        let controller = Controller::new(&config.overload, pool.workers, capacity, epoch);
        let controller = controller.with_cores(cores);
        Ok(Arc::new(Self {
            connections: Connections::new(limits.connections, Waker::new()?),
            queue: Queue::new(capacity, controller),
            poller: Poller::new(most_connections(limits.connections), epoch)?,
            leader: Leader::new(pool.workers),
            counters: Counters::new(pool.workers + usize::from(urgent), epoch),
            datagrams: Datagrams::default(),
            lent_sockets: LentSockets::default(),
            pending: PendingPool::new(limits.pending_total),
            input: PendingPool::new(limits.input_total),
            client_waits: ClientWaits::new(pool.workers, limits.waiting_workers),
            upgrades: Upgrades::new(pool.upgrades),
            hash_limit: Arc::new(HashLimit::new(pool.workers)),
            stopping: Waker::new()?,
            budget: RefusalBudget::new(config.overload.refuse_budget, cores, epoch),
            stage: AtomicU8::new(RUNNING),
            draining_since: OnceLock::new(),
            protocols,
            pool: config.pool.clone(),
            config: ArcSwap::from_pointee(config),
        }))
    }

    /// A place at each protocol, for one thread.
    pub(crate) fn protocol_workers(&self) -> Vec<Box<dyn ProtocolWorker>> {
        let protocol = |protocol| Box::new(GuardedWorker::new(protocol)) as Box<dyn ProtocolWorker>;
        self.protocols.iter().map(protocol).collect()
    }

    /// Puts work into the queue, or does what is to be done when it does not take it. `true`: it is
    /// in the queue.
    pub(crate) fn enqueue_or_refuse(
        self: &Arc<Self>,
        work: Work,
        now: Instant,
        protocol: &mut dyn ProtocolWorker,
    ) -> bool {
        self.enqueue_or_refuse_since(work, now, now, protocol)
    }

    /// As [`enqueue_or_refuse`](Self::enqueue_or_refuse), for work that has waited since `arrived`
    /// elsewhere: in the kernel's backlog.
    pub(crate) fn enqueue_or_refuse_since(
        self: &Arc<Self>,
        work: Work,
        arrived: Instant,
        now: Instant,
        protocol: &mut dyn ProtocolWorker,
    ) -> bool {
        let urgent = work.is_urgent();
        match self.queue.push_from(work, arrived, now) {
            Ok(()) => {
                if urgent {
                    self.leader.wake_urgent();
                }
                return true;
            }
            Err((Work::Connection(connection), refusal)) => {
                refuse(self, protocol, connection, refusal, now);
            }
            Err((Work::Datagram(datagram), refusal)) => self.drop_datagram(datagram, refusal),
            // It was admitted before.
            Err((Work::Continuation(connection), _)) => self.put_off(connection, now),
        }
        false
    }

    /// Parks a connection that is ready, but for which there is no room: epoll reports it again.
    pub(crate) fn put_off(&self, connection: Box<Connection>, now: Instant) {
        match self.poller.postpone(connection, &self.config.load().timeouts, now) {
            Ok(sooner) => self.note_parked(sooner),
            Err((connection, error)) => {
                log::warn!("{}: cannot wait for it: {error}", connection.peer);
                self.close(connection, CloseReason::SocketError);
            }
        }
    }

    /// Turns a datagram away.
    pub(crate) fn drop_datagram(&self, datagram: Box<QueuedDatagram>, refusal: Refusal) {
        self.counters.refuse(refusal);
        self.datagrams.leave(datagram.bytes.len());
        self.datagrams.keep(datagram);
        self.datagrams.refuse(refusal);
        self.connections.completion.notify();
    }

    /// Sees to it that somebody will take what was put into the queue.
    pub(crate) fn wake_worker(&self) {
        if self.leader.wake_worker() {
            self.poller.wake();
        }
    }

    /// As [`wake_worker`](Self::wake_worker), for several pieces of work that were put in together:
    /// if handlers are slow a worker for each, else one, and that only if there is more than those
    /// awake will soon have done.
    pub(crate) fn wake_workers(&self, count: usize) {
        if count == 0 {
            return;
        }
        if self.leader.handlers_are_slow() {
            (0..count).for_each(|_| self.wake_worker());
        } else if self.leader.awake() == 0
            || self.queue.len() > leader::WORTH
            // It waits on epoll, and looks after the queue only once it has been woken.
            || self.leader.monitor_leads()
        {
            self.wake_worker();
        } else {
            self.leader.wake_monitor();
            if self.leader.monitor_leads() {
                // It waits with nothing in the queue to look after.
                self.poller.wake();
            }
        }
    }

    /// The leader has put so many datagrams into the queue, and will serve them: wakes another
    /// worker if there is more to do than that costs.
    pub(crate) fn share_burst(&self, count: usize) {
        self.leader.share_work(self.queue.controller.service_estimate() * count as u32);
    }

    /// The first deadline has come nearer: whoever waits for it has to wait shorter.
    pub(crate) fn reschedule(&self) {
        if self.leader.monitor_leads() {
            self.poller.wake();
        } else {
            self.leader.wake_monitor();
            if self.leader.monitor_leads() {
                // It waits with nothing in the queue to look after.
                self.poller.wake();
            }
        }
    }

    /// A connection was parked. `sooner`: its deadline is the first of all.
    pub(crate) fn note_parked(&self, sooner: bool) {
        self.connections.note_change();
        if sooner {
            self.reschedule();
        }
    }

    /// Ends a connection.
    pub(crate) fn close(&self, mut connection: Box<Connection>, reason: CloseReason) {
        self.poller.forget(connection.token.take());
        connection.close(reason);
    }

    /// Closes what the queue and parking still have of a stopped server. Each thread does so when
    /// it ends, because it may have put something there after the others looked.
    pub(crate) fn cut_off(&self) {
        while let Some(ticket) = self.queue.take_left() {
            match ticket.work {
                Work::Connection(connection) | Work::Continuation(connection) => {
                    self.close(connection, CloseReason::DrainTimeout);
                }
                Work::Datagram(datagram) => self.datagrams.leave(datagram.bytes.len()),
            }
        }
        self.poller.sweep(|_| true, |connection| self.close(connection, CloseReason::DrainTimeout));
    }

    /// What refusing may cost at `now`, given what it has cost until now.
    pub(crate) fn refusal_allowance(&self, now: Instant) -> Allowance {
        self.budget.allowance(now)
    }

    /// The CPU time that refusing has taken since the start.
    pub(crate) fn spent_refusing(&self) -> Duration {
        self.budget.spent()
    }

    /// Charges CPU time that was spent on work which was refused.
    pub(crate) fn charge_refusing(&self, cost: Duration) {
        self.budget.charge(Instant::now(), cost);
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

    /// Exchanges the settings, all but those of the pool. What has begun to wait keeps its
    /// deadline.
    ///
    /// # Errors
    /// The number of connections that there is room for, if more are asked for.
    pub(crate) fn reconfigure(&self, mut config: Config) -> Result<(), usize> {
        let room = self.poller.capacity();
        if config.limits.connections > room {
            return Err(room);
        }
        config.pool = self.pool.clone();
        self.queue.controller.reconfigure(&config.overload);
        self.budget.set_share(config.overload.refuse_budget);
        self.pending.set_limit(config.limits.pending_total);
        self.input.set_limit(config.limits.input_total);
        self.client_waits.set_most(config.limits.waiting_workers);
        self.connections.set_limit(config.limits.connections);
        self.config.store(Arc::new(config));
        self.connections.acceptor.wake();
        Ok(())
    }

    /// Starts draining: everybody looks.
    pub(crate) fn drain(&self) {
        self.draining_since();
        self.stage.fetch_max(DRAINING, Ordering::SeqCst);
        self.stopping.wake();
        self.wake_everybody();
    }

    /// Ends the threads, as soon as they are done with what they have in hand.
    pub(crate) fn stop(&self) {
        self.stage.store(STOPPED, Ordering::SeqCst);
        self.wake_everybody();
        self.connections.completion.notify();
    }

    fn wake_everybody(&self) {
        self.connections.acceptor.wake();
        self.leader.wake_all();
        self.poller.wake();
    }
}

/// How many connections there is to be room for, should the limit be raised while running: as many
/// as the process may have descriptors. The room costs three words for 256 of them until it is
/// used.
fn most_connections(limit: usize) -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    limit.max(descriptors.min(1 << 20) as usize)
}

/// Turns a connection's work away, and charges the CPU time which that took.
///
/// Past half of the budget responses to all that is refused would take the CPU from what is served.
/// A kept connection of a client that is over its share is then held for a moment: so loops that
/// ask again at each refusal slow down by themselves. Any other is reset.
pub(crate) fn refuse(
    shared: &Arc<Shared>,
    protocol: &mut dyn ProtocolWorker,
    connection: Box<Connection>,
    refusal: Refusal,
    now: Instant,
) {
    if connection.urgent || shared.refusal_allowance(now) == Allowance::Response {
        refuse_at_once(shared, protocol, connection, refusal, now);
        return;
    }
    let time = ThreadTime::start();
    let kept = connection.token.is_some() && !connection.is_continuing();
    if kept && shared.queue.controller.is_over_share(connection.bucket) && !shared.is_draining() {
        if let Some(connection) = shared.park(connection, Phase::Held, now) {
            // Something has come meanwhile, perhaps its end.
            refuse_at_once(shared, protocol, connection, refusal, now);
            return;
        }
    } else {
        shared.counters.refuse(refusal);
        connection.stream.reset_on_close();
        shared.close(connection, CloseReason::Overloaded);
    }
    shared.charge_refusing(time.elapsed());
}

/// As [`refuse`], with a response, whatever that costs.
pub(crate) fn refuse_at_once(
    shared: &Arc<Shared>,
    protocol: &mut dyn ProtocolWorker,
    connection: Box<Connection>,
    refusal: Refusal,
    now: Instant,
) {
    let time = ThreadTime::start();
    let config = shared.config.load();
    let mut served =
        protocol.refuse(connection, &mut TurnContext::new(shared, &config, now), refusal);
    // What has said nothing yet only waits on, elsewhere.
    if !matches!(served, Outcome::Park(_, Phase::Head)) {
        shared.counters.refuse(refusal);
        served.note_progress();
    }
    settle(shared, &config, protocol, served, now);
    shared.charge_refusing(time.elapsed());
}

/// Parks or closes a connection that was refused.
fn settle(
    shared: &Arc<Shared>,
    config: &Arc<Config>,
    protocol: &mut dyn ProtocolWorker,
    mut served: Outcome,
    now: Instant,
) {
    loop {
        let again = match served {
            Outcome::Park(connection, phase) => shared.park(connection, phase, now),
            Outcome::Requeue(connection) => {
                leave_to_workers(shared, connection, now);
                None
            }
            Outcome::Close(connection, reason) => {
                shared.close(connection, reason);
                None
            }
            Outcome::Gone => None,
        };
        let Some(connection) = again else { return };
        if connection.phase != Phase::Linger {
            leave_to_workers(shared, connection, now);
            return;
        }
        // No handler is called for it.
        served = protocol.serve(connection, &mut TurnContext::new(shared, config, now));
    }
}

fn leave_to_workers(shared: &Arc<Shared>, connection: Box<Connection>, now: Instant) {
    match shared.queue.push(Work::of(connection), now) {
        Ok(()) => shared.wake_worker(),
        Err((Work::Connection(connection) | Work::Continuation(connection), _)) => {
            shared.close(connection, CloseReason::Overloaded);
        }
        Err((Work::Datagram(_), _)) => {}
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("connections", &self.connections)
            .field("queued", &self.queue.len())
            .finish_non_exhaustive()
    }
}
