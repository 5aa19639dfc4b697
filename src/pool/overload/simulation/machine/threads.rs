//! The states of the simulated threads.

use std::collections::VecDeque;
use std::time::Duration;

use crate::pool::arrivals::Arrivals;
use crate::pool::overload::fairness::InService;
use crate::pool::overload::refusal::Refusal;
use crate::pool::overload::simulation::clients::SimulatedRequest;

/// What a thread does next, once it has had its CPU time or has slept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThreadStep {
    /// A worker sleeps until it is woken.
    Asleep,
    /// The leader waits on epoll.
    Leading,
    /// A worker takes work, or becomes the leader.
    Look,
    /// The leader has returned from epoll.
    Collect,
    /// A worker or the monitor enqueues the connections that epoll reported.
    Enqueue,
    /// A handler has used its CPU time.
    Burned,
    /// A handler is done.
    Handled,
    /// A refusal is done.
    Refused,
    /// The acceptor waits for connections.
    Waiting,
    /// The acceptor decides whether to wait, to pause or to accept.
    Poll,
    /// The acceptor wakes by itself after a pause.
    Woken,
    /// The acceptor begins a round of accepting.
    Round,
    /// The acceptor accepts a connection.
    Accept,
    /// The acceptor has accepted a connection.
    Accepted,
    /// The monitor has slept for a tick.
    Tick,
    /// The monitor looks after the other threads.
    Watch,
    /// The monitor refuses work that it took from the queue.
    TurnAway,
}

/// A refusal that a thread is busy with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusing {
    pub(super) connection: usize,
    pub(super) reset: bool,
    /// For how long the response is delayed, as the client is over its share and its connection is
    /// kept.
    pub(super) hold: u64,
    pub(super) cost: u64,
    pub(super) reason: Refusal,
    /// When its batch began.
    pub(super) began: u64,
    /// What the thread does afterwards.
    pub(super) then: ThreadStep,
}

/// A worker, the acceptor or the monitor.
#[derive(Debug)]
pub(super) struct SimulatedThread {
    pub(super) step: ThreadStep,
    pub(super) refusing: Option<Refusing>,
    pub(super) serving: Option<Serving>,
    /// Of the connections that epoll reported, the one that the leader serves itself.
    pub(super) first: Option<usize>,
    /// The other connections that epoll reported.
    pub(super) rest: VecDeque<usize>,
    /// How many connections epoll reported.
    pub(super) found: usize,
    /// When epoll reported them.
    pub(super) batch: u64,
}

/// The connection that a worker serves.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) connection: usize,
    pub(super) in_service: Option<InService>,
    /// When its turn began.
    pub(super) began: u64,
    /// How long it waited before its turn.
    pub(super) waited: u64,
    /// Requests of this turn.
    pub(super) requests: u32,
    /// CPU time of this turn.
    pub(super) burned: u64,
    /// Time of this turn in which the worker waited for the client.
    pub(super) client_wait: u64,
    /// The longest request of all turns.
    pub(super) longest: Option<Duration>,
    pub(super) request: Option<SimulatedRequest>,
}

/// What the acceptor knows.
#[derive(Debug, Default)]
pub(super) struct SimulatedAcceptor {
    /// What is known of the backlog.
    pub(super) arrivals: Option<Arrivals>,
    /// Until when the backlog is short.
    pub(super) short_until: Option<u64>,
    /// Whether the last round refused more than it enqueued.
    pub(super) refuses: bool,
    /// When it last began to poll.
    pub(super) polled: u64,
    /// Whether there was an overload when this round began.
    pub(super) overloaded: bool,
    /// Connections accepted in this round.
    pub(super) accepted: usize,
    /// Connections enqueued in this round.
    pub(super) pushed: usize,
}

/// What the monitor knows.
#[derive(Debug, Default)]
pub(super) struct SimulatedMonitor {
    /// The machine's looks at epoll when the monitor last checked.
    pub(super) looks: u64,
    /// The workers' turns when the monitor last checked.
    pub(super) turns: u64,
    /// When the monitor last saw that the workers had taken work.
    pub(super) moved: u64,
    /// When it may next look for work that can only be late.
    pub(super) shed_next: u64,
    /// The work that it refuses next.
    pub(super) shed: VecDeque<(usize, Refusal)>,
}
