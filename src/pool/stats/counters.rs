//! [`Counters`]: what the threads count.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::net::Addr;
use crate::pool::overload::refusal::Refusal;
use crate::pool::stats::durations::{Durations, OwnDurations};
use crate::pool::stats::handshakes::HandshakeCounters;
use crate::pool::stats::histogram::Histogram;
use crate::pool::stats::own_counter::OwnCounter;
use crate::pool::stats::reloads::ReloadStats;
use crate::pool::stats::watch::Watch;
use crate::pool::stats::worker_state::{ActivityCell, SeenActivity, WorkerState};

/// How many classes of statuses there are: 1xx to 5xx.
pub(crate) const STATUS_CLASSES: usize = 5;

/// The counters of a server. Each worker has its own for what it counts at every turn.
#[derive(Debug)]
pub(crate) struct Counters {
    epoch: Instant,
    /// When the server was made.
    pub(crate) started: SystemTime,
    workers: Box<[WorkerCounters]>,
    /// Responses of other threads than the workers, by the class of their status.
    responses: [AtomicU64; STATUS_CLASSES],
    /// Times in the queue.
    pub(crate) wait: Histogram,
    /// Times to serve a request.
    pub(crate) service: Histogram,
    refused: [AtomicU64; Refusal::COUNT],
    panics: AtomicU64,
    pub(crate) handshakes: HandshakeCounters,
    pub(crate) reloads: Mutex<ReloadStats>,
    pub(crate) accept: AcceptCounters,
    /// What is recorded only for an admin endpoint.
    pub(crate) watch: Watch,
}

/// The counters of one worker, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct WorkerCounters {
    turns: OwnCounter,
    activity: ActivityCell,
    /// Responses by the class of their status.
    responses: [OwnCounter; STATUS_CLASSES],
    /// Times in the queue.
    wait: OwnDurations,
    /// Times to serve a request, and so how many it has served.
    service: OwnDurations,
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
            started: SystemTime::now(),
            workers: (0..workers).map(|_| WorkerCounters::default()).collect(),
            responses: std::array::from_fn(|_| AtomicU64::new(0)),
            wait: Histogram::default(),
            service: Histogram::default(),
            refused: std::array::from_fn(|_| AtomicU64::new(0)),
            panics: AtomicU64::new(0),
            handshakes: HandshakeCounters::default(),
            watch: Watch::new(epoch),
            reloads: Mutex::default(),
            accept: AcceptCounters::default(),
        }
    }

    /// When the counters began.
    #[cfg(feature = "admin")]
    pub(crate) fn epoch(&self) -> Instant {
        self.epoch
    }

    /// A worker begins a turn.
    pub(crate) fn turn(&self, worker: usize) {
        self.workers[worker].turns.add(1);
    }

    /// A worker has taken work that `waited` in the queue.
    pub(crate) fn waited(&self, worker: usize, waited: Duration) {
        self.workers[worker].wait.record(waited, 1);
        self.wait.record(waited);
    }

    /// A worker has served `count` requests, each of which took `each`.
    pub(crate) fn requests(&self, worker: usize, count: u32, each: Duration) {
        self.workers[worker].service.record(each, count);
        self.service.record(each);
    }

    /// A worker begins to serve this peer, which `waited` in the queue.
    pub(crate) fn serving(&self, worker: usize, peer: &Addr, now: Instant, waited: Duration) {
        self.workers[worker].activity.serve(peer, self.epoch, now, waited);
    }

    /// A worker, which serves a peer, has read the head of this request.
    pub(crate) fn reading(&self, worker: usize, method: &str, path: &str) {
        self.workers[worker].activity.request(method.as_bytes(), path.as_bytes());
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
            let SeenActivity { activity, since, peer, wait, request } =
                worker.activity.read(self.epoch, now);
            let served = worker.service.count();
            WorkerState { index, activity, since, peer, served, wait, request }
        };
        self.workers.iter().enumerate().map(state).collect()
    }

    /// Turns of all workers since the start.
    pub(crate) fn turns(&self) -> u64 {
        self.workers.iter().map(|worker| worker.turns.get()).sum()
    }

    /// Requests that all workers have served since the start.
    pub(crate) fn served(&self) -> u64 {
        self.workers.iter().map(|worker| worker.service.count()).sum()
    }

    /// Counts a response with this status. `worker`: the worker that calls this, if one does.
    pub(crate) fn responded(&self, worker: Option<usize>, status: u16) {
        // A status from 600 on means an error of the server (RFC 9110 §15).
        let class = usize::from(status / 100).saturating_sub(1).min(STATUS_CLASSES - 1);
        match worker {
            Some(worker) => self.workers[worker].responses[class].add(1),
            None => _ = self.responses[class].fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The responses of all threads, by the class of their status.
    pub(crate) fn responses(&self) -> [u64; STATUS_CLASSES] {
        let of_workers =
            |class: usize| self.workers.iter().map(|own| own.responses[class].get()).sum::<u64>();
        std::array::from_fn(|class| {
            of_workers(class) + self.responses[class].load(Ordering::Relaxed)
        })
    }

    /// The times in the queue, and the times to serve a request, as all workers have counted them.
    pub(crate) fn durations(&self) -> (Durations, Durations) {
        let (mut wait, mut service) = (Durations::default(), Durations::default());
        for worker in &self.workers {
            wait.add(&worker.wait);
            service.add(&worker.service);
        }
        (wait, service)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_belongs_to_a_class() {
        let counters = Counters::new(1, Instant::now());
        for (status, worker) in [(100, None), (200, Some(0)), (404, Some(0)), (599, None)] {
            counters.responded(worker, status);
        }
        // What the handler of a program may return, against RFC 9110 §15.
        counters.responded(Some(0), 999);
        assert_eq!(counters.responses(), [1, 1, 0, 1, 2]);
    }
}
