//! [`Counters`]: what the threads count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::net::Addr;
use crate::pool::overload::refusal::Refusal;
use crate::pool::stats::histogram::Histogram;
use crate::pool::stats::worker_state::{ActivityCell, WorkerState};

/// The counters of a server. Each worker has its own for what it counts at every turn.
#[derive(Debug)]
pub(crate) struct Counters {
    epoch: Instant,
    workers: Box<[WorkerCounters]>,
    /// Times in the queue.
    pub(crate) wait: Histogram,
    /// Times to serve a request.
    pub(crate) service: Histogram,
    refused: [AtomicU64; Refusal::COUNT],
    panics: AtomicU64,
    pub(crate) accept: AcceptCounters,
}

/// The counters of one worker, on a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct WorkerCounters {
    turns: AtomicU64,
    requests: AtomicU64,
    activity: ActivityCell,
}

/// What the acceptor counts.
#[derive(Debug, Default)]
pub(crate) struct AcceptCounters {
    /// Rounds of the acceptor's loop: they show that it is alive.
    pub(crate) rounds: AtomicU64,
    /// How often accept(2) was interrupted by a signal, and retried.
    pub(crate) interrupted: AtomicU64,
    /// How often accept(2) reported the error of one connection, which was skipped.
    pub(crate) skipped: AtomicU64,
    /// How often accepting paused because descriptors or memory ran out.
    pub(crate) exhausted: AtomicU64,
    /// How often accepting paused at the limit on connections.
    pub(crate) full: AtomicU64,
    /// How often accepting paused because refusing took too much CPU time.
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

    /// A worker begins a turn.
    pub(crate) fn turn(&self, worker: usize) {
        add_to_own(&self.workers[worker].turns, 1);
    }

    /// A worker has served `count` requests, each of which took `each`.
    pub(crate) fn requests(&self, worker: usize, count: u32, each: Duration) {
        add_to_own(&self.workers[worker].requests, count.into());
        self.service.record(each);
    }

    /// A worker begins to serve this peer.
    pub(crate) fn serving(&self, worker: usize, peer: &Addr, now: Instant) {
        self.workers[worker].activity.serve(peer, self.epoch, now);
    }

    /// A worker serves no peer any more.
    pub(crate) fn resting(&self, worker: usize, now: Instant) {
        self.workers[worker].activity.rest(self.epoch, now);
    }

    /// A worker begins to wait on epoll as the leader, or stops.
    pub(crate) fn leading(&self, worker: usize, leads: bool) {
        self.workers[worker].activity.lead(leads);
    }

    /// What each worker is doing.
    pub(crate) fn activities(&self, now: Instant) -> Vec<WorkerState> {
        let state = |(index, worker): (usize, &WorkerCounters)| {
            let (activity, since, peer) = worker.activity.read(self.epoch, now);
            let served = worker.requests.load(Ordering::Relaxed);
            WorkerState { index, activity, since, peer, served }
        };
        self.workers.iter().enumerate().map(state).collect()
    }

    /// Turns of all workers since the start.
    pub(crate) fn turns(&self) -> u64 {
        self.workers.iter().map(|worker| worker.turns.load(Ordering::Relaxed)).sum()
    }

    /// Requests that all workers have served since the start.
    pub(crate) fn served(&self) -> u64 {
        self.workers.iter().map(|worker| worker.requests.load(Ordering::Relaxed)).sum()
    }

    /// Counts a refusal.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) -> [u64; Refusal::COUNT] {
        std::array::from_fn(|index| self.refused[index].load(Ordering::Relaxed))
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Counts a panic of a handler.
    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }
}

/// Adds to a counter that only one thread writes. A load and a store are enough, and cost less than
/// an atomic addition.
fn add_to_own(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}
