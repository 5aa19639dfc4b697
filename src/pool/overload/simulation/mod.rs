//! A simulated server: the real [`Queue`] and [`Controller`], simulated arrivals, workers and time.
//!
//! It runs as fast as it can and gives the same figures every time, so that the goals of overload
//! control are checked exactly, at loads and numbers of workers that no test could put on a
//! machine. The arrivals are those of `benches/overload`. In [`tests`] handlers sleep, and refusing
//! costs nothing, nor does waking a worker. In [`computing`] and [`hostile`] the workers, the
//! acceptor and the monitor of a simulated [`machine`] share a [`cpu`], and all that they do costs
//! what was measured.

#[path = "../../../../benches/overload/arrivals.rs"]
mod arrivals;
mod clients;
mod computing;
mod controls;
mod cpu;
mod hostile;
mod machine;
mod surroundings;
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::pool::overload::controller::{Controller, Verdict};
use crate::pool::overload::fairness::{Bucket, ClientKey, InService};
use crate::pool::queue::{Queue, QueueItem};
use arrivals::{Arrival, Phase, Random};

/// How long clients wait for an answer.
const PATIENCE: u64 = 200_000_000;
/// How long they wait before they try again.
const PAUSE: u64 = 50_000_000;

/// One attempt of a client. Times are in nanoseconds from the start.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    arrival: Arrival,
    at: u64,
    tries_left: u8,
    bucket: Bucket,
}

impl QueueItem for Attempt {
    fn bucket(&self) -> Bucket {
        self.bucket
    }

    fn is_urgent(&self) -> bool {
        false
    }

    fn is_admitted(&self) -> bool {
        false
    }
}

/// What decides which work is served: millpond's, or a control that has to do worse.
trait Gate {
    /// Takes the work in; `false`: refuses it.
    fn enter(&mut self, attempt: Attempt, now: Instant) -> bool;

    /// The next work, and whether it is served.
    fn take(&mut self, now: Instant) -> Option<(Attempt, bool)>;

    /// A worker begins to serve.
    fn begin(&mut self, _worker: usize, _attempt: &Attempt, _now: Instant) {}

    /// It is done, which took so long.
    fn served(&mut self, _worker: usize, _attempt: &Attempt, _service: Duration, _now: Instant) {}
}

/// millpond's own: the real queue and controller, and what its workers serve.
struct Pond {
    queue: Queue<Attempt>,
    in_service: Vec<Option<InService>>,
}

impl Gate for Pond {
    fn enter(&mut self, attempt: Attempt, now: Instant) -> bool {
        self.queue.push(attempt, now).is_ok()
    }

    fn take(&mut self, now: Instant) -> Option<(Attempt, bool)> {
        let (ticket, refusal) = self.queue.take(|| now)?;
        let verdict = self.queue.check_wait(&ticket, now);
        Some((ticket.work, verdict == Verdict::Keep && refusal.is_none()))
    }

    fn begin(&mut self, worker: usize, attempt: &Attempt, now: Instant) {
        let controller = &self.queue.controller;
        self.in_service[worker] = Some(controller.begin_service(attempt.bucket, now));
    }

    fn served(&mut self, worker: usize, attempt: &Attempt, service: Duration, now: Instant) {
        let controller = &self.queue.controller;
        if let Some(in_service) = self.in_service[worker].take() {
            controller.end_service(in_service, now, Some(service));
        }
        controller.served(attempt.bucket, service, 1);
    }
}

/// How services are distributed about their mean.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Service {
    Fixed,
    Exponential,
}

/// A server to be simulated.
#[derive(Clone, Copy, Debug)]
struct SimulatedServer {
    workers: usize,
    mean: Duration,
    service: Service,
}

impl SimulatedServer {
    /// What it can do in a second.
    fn capacity(&self) -> f64 {
        self.workers as f64 / self.mean.as_secs_f64()
    }

    /// Its queue with the defaults, at an epoch.
    fn pond(&self, epoch: Instant) -> Pond {
        let config = Config::default();
        let capacity = config.pool.queue_capacity();
        let controller = Controller::new(&config.overload, self.workers, capacity, epoch);
        let in_service = (0..self.workers).map(|_| None).collect();
        Pond { queue: Queue::new(capacity, controller), in_service }
    }

    /// Runs `phases` of load against `gate`, by clients of these `weights`.
    fn run(&self, phases: &[Phase], weights: &[f64], gate: &mut impl Gate, epoch: Instant) -> Run {
        let arrivals = arrivals::poisson(phases, weights, 1);
        let end = phases.iter().map(|phase| phase.time.as_nanos() as u64).sum();
        let mut simulation = Simulation {
            server: self,
            gate,
            epoch,
            random: Random(2),
            buckets: distinct_buckets(weights.len()),
            idle: self.workers,
            busy: BinaryHeap::new(),
            in_hand: vec![None; self.workers],
            retries: VecDeque::new(),
            run: Run::new(weights.len(), end),
        };
        simulation.run(&arrivals);
        simulation.run
    }
}

/// Clients that share no bucket, since the table's secret differs from run to run.
fn distinct_buckets(clients: usize) -> Vec<Bucket> {
    let table = crate::pool::overload::fairness::Fairness::new();
    let mut buckets = Vec::new();
    for uid in 0.. {
        if buckets.len() == clients {
            break;
        }
        let bucket = table.bucket(ClientKey::Uid(uid));
        if !buckets.contains(&bucket) {
            buckets.push(bucket);
        }
    }
    buckets
}

struct Simulation<'a, G> {
    server: &'a SimulatedServer,
    gate: &'a mut G,
    epoch: Instant,
    random: Random,
    buckets: Vec<Bucket>,
    idle: usize,
    /// When each busy worker is done, and its index into `in_hand`.
    busy: BinaryHeap<Reverse<(u64, usize)>>,
    /// What a worker serves, and for how long.
    in_hand: Vec<Option<(Attempt, Duration)>>,
    /// In the order of time, since the pause is always the same.
    retries: VecDeque<Attempt>,
    run: Run,
}

impl<G: Gate> Simulation<'_, G> {
    fn run(&mut self, arrivals: &[Arrival]) {
        let mut arrivals = arrivals.iter().peekable();
        loop {
            let arrival = arrivals.peek().map_or(u64::MAX, |arrival| arrival.at);
            let retry = self.retries.front().map_or(u64::MAX, |attempt| attempt.at);
            let done = self.busy.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
            if done <= arrival.min(retry) {
                let Some(Reverse((now, worker))) = self.busy.pop() else { return };
                self.finish(now, worker);
            } else if retry <= arrival {
                let Some(attempt) = self.retries.pop_front() else { return };
                self.arrive(attempt);
            } else if let Some(&arrival) = arrivals.next() {
                self.run.request(&arrival);
                let bucket = self.buckets[usize::from(arrival.client)];
                let (at, tries_left) = (arrival.at, arrival.retries);
                self.arrive(Attempt { arrival, at, tries_left, bucket });
            }
        }
    }

    fn instant(&self, now: u64) -> Instant {
        self.epoch + Duration::from_nanos(now)
    }

    fn arrive(&mut self, attempt: Attempt) {
        let now = attempt.at;
        if !self.gate.enter(attempt, self.instant(now)) {
            self.fail(attempt, now);
        }
        if self.idle > 0 {
            self.take(now);
        }
    }

    /// An idle worker takes what is next.
    fn take(&mut self, now: u64) {
        while let Some((attempt, kept)) = self.gate.take(self.instant(now)) {
            if !kept {
                self.fail(attempt, now);
                continue;
            }
            let mean = self.server.mean.as_secs_f64();
            let time = match self.server.service {
                Service::Fixed => mean,
                Service::Exponential => -mean * (1.0 - self.random.unit()).ln(),
            };
            let time = Duration::from_secs_f64(time);
            let worker = self.in_hand.iter().position(Option::is_none).expect("one is idle");
            self.gate.begin(worker, &attempt, self.instant(now));
            self.in_hand[worker] = Some((attempt, time));
            self.busy.push(Reverse((now + time.as_nanos() as u64, worker)));
            self.idle -= 1;
            return;
        }
    }

    fn finish(&mut self, now: u64, worker: usize) {
        self.idle += 1;
        if let Some((attempt, time)) = self.in_hand[worker].take() {
            self.gate.served(worker, &attempt, time, self.instant(now));
            if now - attempt.at <= PATIENCE {
                self.run.answered(&attempt, now);
            } else {
                self.retry(attempt, attempt.at + PATIENCE, now);
            }
        }
        self.take(now);
    }

    fn fail(&mut self, attempt: Attempt, now: u64) {
        let latency = now - attempt.at;
        if latency <= PATIENCE {
            self.run.refusals.push(latency);
        }
        self.retry(attempt, now.min(attempt.at + PATIENCE), now);
    }

    /// A client that failed tries again; one that gave up has done so long before the worker
    /// learns.
    fn retry(&mut self, attempt: Attempt, failed: u64, now: u64) {
        if attempt.tries_left > 0 {
            let at = (failed + PAUSE).max(now);
            self.retries.push_back(Attempt { at, tries_left: attempt.tries_left - 1, ..attempt });
        }
    }
}

/// What came of it.
#[derive(Debug)]
struct Run {
    /// When the load was over.
    end: u64,
    /// By client: requests, and those answered in time.
    clients: Vec<(u64, u64)>,
    /// By the time of arrival, in windows of 100 ms: requests, and those answered in time.
    windows: Vec<(u64, u64)>,
    /// What a server still has in its queue at the end must not count for it.
    in_time_before_end: u64,
    /// Latencies in nanoseconds.
    answers: Vec<u64>,
    refusals: Vec<u64>,
}

impl Run {
    fn new(clients: usize, end: u64) -> Self {
        Self {
            end,
            clients: vec![(0, 0); clients],
            windows: vec![(0, 0); window(end) + 1],
            in_time_before_end: 0,
            answers: Vec::new(),
            refusals: Vec::new(),
        }
    }

    fn request(&mut self, arrival: &Arrival) {
        self.clients[usize::from(arrival.client)].0 += 1;
        self.windows[window(arrival.at)].0 += 1;
    }

    fn answered(&mut self, attempt: &Attempt, now: u64) {
        self.in_time_before_end += u64::from(now <= self.end);
        self.answers.push(now - attempt.at);
        self.clients[usize::from(attempt.arrival.client)].1 += 1;
        self.windows[window(attempt.arrival.at)].1 += 1;
    }

    /// The share of the requests from this second on that were answered in time.
    fn success_from(&self, seconds: f64) -> f64 {
        let windows = &self.windows[window((seconds * 1e9) as u64)..];
        let (requests, answered) = windows.iter().fold((0, 0), |sum, w| (sum.0 + w.0, sum.1 + w.1));
        answered as f64 / requests as f64
    }
}

fn window(at: u64) -> usize {
    (at / 100_000_000) as usize
}

/// The latency that this share of all are no longer than, in milliseconds.
fn percentile(latencies: &[u64], rank: f64) -> f64 {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let place = ((sorted.len() as f64 * rank).ceil() as usize).max(1) - 1;
    sorted.get(place).map_or(0.0, |nanos| *nanos as f64 / 1e6)
}
