//! What the threads count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::net::Addr;
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

    /// What each worker does.
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

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }
}

/// Adds to a counter that only one thread writes: a plain store is enough.
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}
