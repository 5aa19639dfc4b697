//! What everyone counts, and [`Stats`], the picture of it at one moment.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::net::Addr;
use crate::pool::Shared;
use crate::pool::datagram::socket::DatagramStats;
use crate::pool::overload::refusal::Refusal;
use crate::pool::stats::histogram::Histogram;
use crate::pool::stats::worker_state::{ActivityCell, WorkerState};

/// The counters that are shared. Those that a worker touches at every turn are its own.
#[derive(Debug)]
pub(crate) struct Counters {
    epoch: Instant,
    workers: Box<[WorkerCounters]>,
    pub(crate) wait: Histogram,
    pub(crate) service: Histogram,
    refused: [AtomicU64; Refusal::COUNT],
    panics: AtomicU64,
    pub(crate) accept: AcceptCounters,
}

/// A worker's own, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct WorkerCounters {
    turns: AtomicU64,
    requests: AtomicU64,
    activity: ActivityCell,
}

/// What the acceptor meets.
#[derive(Debug, Default)]
pub(crate) struct AcceptCounters {
    /// How often the acceptor has gone round: by this it is seen to be alive.
    pub(crate) rounds: AtomicU64,
    /// accept(2) was interrupted by a signal, and retried.
    pub(crate) interrupted: AtomicU64,
    /// accept(2) reported one connection's trouble, which was skipped.
    pub(crate) skipped: AtomicU64,
    /// Accepting paused for want of descriptors or memory.
    pub(crate) exhausted: AtomicU64,
    /// Accepting paused at the limit on connections.
    pub(crate) full: AtomicU64,
    /// Accepting paused because refusing took too much of the CPU time.
    pub(crate) over_budget: AtomicU64,
}

impl Counters {
    pub(crate) fn new(workers: usize, epoch: Instant) -> Self {
        Self {
            epoch,
            workers: (0..workers).map(|_| WorkerCounters::default()).collect(),
            wait: Histogram::default(),
            service: Histogram::default(),
            refused: std::array::from_fn(|_| AtomicU64::new(0)),
            panics: AtomicU64::new(0),
            accept: AcceptCounters::default(),
        }
    }

    /// A worker takes on something.
    pub(crate) fn turn(&self, worker: usize) {
        bump(&self.workers[worker].turns, 1);
    }

    /// A worker has served `count` requests, in `each` of time.
    pub(crate) fn requests(&self, worker: usize, count: u32, each: Duration) {
        bump(&self.workers[worker].requests, count.into());
        self.service.record(each);
    }

    /// A worker has the connection of this peer in hand.
    pub(crate) fn serving(&self, worker: usize, peer: &Addr, now: Instant) {
        self.workers[worker].activity.serve(peer, self.epoch, now);
    }

    /// A worker has nothing in hand any more.
    pub(crate) fn resting(&self, worker: usize, now: Instant) {
        self.workers[worker].activity.rest(self.epoch, now);
    }

    /// A worker waits on epoll, or no longer does.
    pub(crate) fn leading(&self, worker: usize, leads: bool) {
        self.workers[worker].activity.lead(leads);
    }

    /// What each worker is activity.
    pub(crate) fn activities(&self, now: Instant) -> Vec<WorkerState> {
        let state = |(index, worker): (usize, &WorkerCounters)| {
            let (activity, since, peer) = worker.activity.read(self.epoch, now);
            let served = worker.requests.load(Ordering::Relaxed);
            WorkerState { index, activity, since, peer, served }
        };
        self.workers.iter().enumerate().map(state).collect()
    }

    /// Turns of all workers so far.
    pub(crate) fn turns(&self) -> u64 {
        self.workers.iter().map(|worker| worker.turns.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn served(&self) -> u64 {
        self.workers.iter().map(|worker| worker.requests.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) -> [u64; Refusal::COUNT] {
        std::array::from_fn(|index| self.refused[index].load(Ordering::Relaxed))
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }
}

/// Adds to a counter that only one thread writes: a plain store is enough.
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

/// What the server has done, and what it is activity.
///
/// Counters run from the start of the server. At any time, `accepted` is the sum of `closed` plus
/// `live`, give or take what changed while they were read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open.
    pub live: usize,
    /// Connections that ended, in the order of [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::COUNT],
    /// Connections that wait without holding a worker.
    pub parked: usize,
    /// Connections in the work queue.
    pub queued: usize,
    /// How much the work queue holds.
    pub queue_capacity: usize,
    /// Worker threads.
    pub workers: usize,
    /// Worker threads that are serving now.
    pub busy: usize,
    /// Requests answered by a handler.
    pub served: u64,
    /// Requests and connections refused, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::COUNT],
    /// Panics of handlers.
    pub panics: u64,
    /// What became of datagrams. Those that handlers were called for count among `served` as well,
    /// and those refused among `refused`.
    pub datagrams: DatagramStats,
    /// Whether more is offered than the workers can do, so that work is refused for its wait.
    pub overloaded: bool,
    /// What was offered over the last intervals, as a multiple of what could have been done.
    pub load: f64,
    /// Median time in the queue.
    pub wait_p50: Duration,
    /// 99th percentile of the time in the queue.
    pub wait_p99: Duration,
    /// Median time to serve a request.
    pub service_p50: Duration,
    /// 99th percentile of the time to serve a request.
    pub service_p99: Duration,
    /// Mean time to serve a request, of late.
    pub service_mean: Duration,
    /// The wait in the queue that is aimed at: the setting, or half a service if that is longer.
    pub wait_target: Duration,
    /// The wait in the queue that is allowed at present.
    pub wait_limit: Duration,
    /// Requests a second that the workers can serve: as measured while there is an overload, else
    /// by the recent service time.
    pub capacity: f64,
    /// Times that accept(2) was interrupted by a signal and retried.
    pub accept_interrupted: u64,
    /// Connections that had failed before they could be accepted.
    pub accept_skipped: u64,
    /// Times that accepting paused for want of descriptors or memory.
    pub accept_exhausted: u64,
    /// Times that accepting paused at the limit on connections.
    pub accept_full: u64,
    /// Times that accepting paused because refusing took too much CPU time.
    pub accept_over_budget: u64,
}

impl Stats {
    pub(crate) fn of(shared: &Shared) -> Self {
        let counters = &shared.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let controller = &shared.queue.controller;
        let workers = shared.pool.workers;
        let (wait, service) = (counters.wait.snapshot(), counters.service.snapshot());
        Self {
            accepted: shared.connections.accepted(),
            live: shared.connections.live(),
            closed: shared.connections.closed(),
            parked: shared.poller.count(),
            queued: shared.queue.len(),
            queue_capacity: shared.config.load().pool.queue_capacity(),
            workers,
            busy: shared.leader.awake(),
            served: counters.served(),
            refused: counters.refused(),
            panics: load(&counters.panics),
            datagrams: shared.datagrams.stats(),
            overloaded: controller.is_overloaded(),
            load: controller.offered_load(),
            wait_p50: wait.percentile(0.5),
            wait_p99: wait.percentile(0.99),
            service_p50: service.percentile(0.5),
            service_p99: service.percentile(0.99),
            service_mean: controller.service_estimate(),
            wait_target: controller.wait_target(),
            wait_limit: controller.wait_limit(),
            capacity: controller.capacity_estimate(),
            accept_interrupted: load(&counters.accept.interrupted),
            accept_skipped: load(&counters.accept.skipped),
            accept_exhausted: load(&counters.accept.exhausted),
            accept_full: load(&counters.accept.full),
            accept_over_budget: load(&counters.accept.over_budget),
        }
    }

    /// How many connections ended for this reason.
    #[must_use]
    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }

    /// How many requests and connections were refused for this reason.
    #[must_use]
    pub fn refused_for(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize]
    }

    /// How many requests and connections were refused, for any reason.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.iter().sum()
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "live {}, parked {}, queued {}, busy {}/{}; accepted {}, served {}, refused {}; \
             wait p50 {:?} p99 {:?}, service p50 {:?} p99 {:?}, capacity {:.0}/s{}",
            self.live,
            self.parked,
            self.queued,
            self.busy,
            self.workers,
            self.accepted,
            self.served,
            self.refused_total(),
            self.wait_p50,
            self.wait_p99,
            self.service_p50,
            self.service_p99,
            self.capacity,
            if self.overloaded { ", overloaded" } else { "" },
        )
    }
}
