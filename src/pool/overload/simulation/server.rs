//! [`SimulatedServer`]: handlers that sleep, and a queue policy.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use super::arrivals::{self, Arrival, Phase, Random};
use super::common::{RESPONSE_TIMEOUT, distinct_buckets};
use super::policy::{Attempt, QueuePolicy};
use crate::pool::overload::fairness::Bucket;

/// How long clients wait before they try again, in nanoseconds.
const RETRY_AFTER: u64 = 50_000_000;

/// How service times are distributed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ServiceTimes {
    Fixed,
    Exponential,
}

/// A server to be simulated.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimulatedServer {
    pub(super) workers: usize,
    pub(super) mean: Duration,
    pub(super) times: ServiceTimes,
}

impl SimulatedServer {
    /// How many requests it can serve in a second.
    pub(super) fn capacity(&self) -> f64 {
        self.workers as f64 / self.mean.as_secs_f64()
    }

    /// Runs `phases` of load against `policy`, by clients that share it by `weights`.
    pub(super) fn run(
        &self,
        phases: &[Phase],
        weights: &[f64],
        policy: &mut impl QueuePolicy,
        epoch: Instant,
    ) -> Run {
        let arrivals = arrivals::poisson(phases, weights, 1);
        let end = phases.iter().map(|phase| phase.time.as_nanos() as u64).sum();
        let mut simulation = Simulation {
            server: self,
            policy,
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

struct Simulation<'a, G> {
    server: &'a SimulatedServer,
    policy: &'a mut G,
    epoch: Instant,
    random: Random,
    buckets: Vec<Bucket>,
    idle: usize,
    /// When each busy worker is done, and its index into `in_hand`.
    busy: BinaryHeap<Reverse<(u64, usize)>>,
    /// What each worker serves, and for how long.
    in_hand: Vec<Option<(Attempt, Duration)>>,
    /// In the order of time, since the pause is always the same.
    retries: VecDeque<Attempt>,
    run: Run,
}

impl<G: QueuePolicy> Simulation<'_, G> {
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
        if !self.policy.enter(attempt, self.instant(now)) {
            self.fail(attempt, now);
        }
        if self.idle > 0 {
            self.take(now);
        }
    }

    /// An idle worker takes the next work.
    fn take(&mut self, now: u64) {
        while let Some((attempt, kept)) = self.policy.take(self.instant(now)) {
            if !kept {
                self.fail(attempt, now);
                continue;
            }
            let mean = self.server.mean.as_secs_f64();
            let time = match self.server.times {
                ServiceTimes::Fixed => mean,
                ServiceTimes::Exponential => -mean * (1.0 - self.random.unit()).ln(),
            };
            let time = Duration::from_secs_f64(time);
            let worker = self.in_hand.iter().position(Option::is_none).expect("one is idle");
            self.policy.begin(worker, &attempt, self.instant(now));
            self.in_hand[worker] = Some((attempt, time));
            self.busy.push(Reverse((now + time.as_nanos() as u64, worker)));
            self.idle -= 1;
            return;
        }
    }

    fn finish(&mut self, now: u64, worker: usize) {
        self.idle += 1;
        if let Some((attempt, time)) = self.in_hand[worker].take() {
            self.policy.served(worker, &attempt, time, self.instant(now));
            if now - attempt.at <= RESPONSE_TIMEOUT {
                self.run.responded(&attempt, now);
            } else {
                self.retry(attempt, attempt.at + RESPONSE_TIMEOUT, now);
            }
        }
        self.take(now);
    }

    fn fail(&mut self, attempt: Attempt, now: u64) {
        let latency = now - attempt.at;
        if latency <= RESPONSE_TIMEOUT {
            self.run.refusals.push(latency);
        }
        self.retry(attempt, now.min(attempt.at + RESPONSE_TIMEOUT), now);
    }

    /// A client that failed tries again. One that gave up did so before its worker was done.
    fn retry(&mut self, attempt: Attempt, failed: u64, now: u64) {
        if attempt.tries_left > 0 {
            let at = (failed + RETRY_AFTER).max(now);
            self.retries.push_back(Attempt { at, tries_left: attempt.tries_left - 1, ..attempt });
        }
    }
}

/// The result of a run.
#[derive(Debug)]
pub(super) struct Run {
    /// When the load was over.
    pub(super) end: u64,
    /// By client: requests, and those that got a response in time.
    pub(super) clients: Vec<(u64, u64)>,
    /// The same by the time of arrival, in windows of 100 ms.
    windows: Vec<(u64, u64)>,
    /// Responses in time before the end of the load: work that is still in the queue then must not
    /// count in the server's favour.
    pub(super) in_time_before_end: u64,
    /// Latencies in nanoseconds.
    pub(super) responses: Vec<u64>,
    pub(super) refusals: Vec<u64>,
}

impl Run {
    fn new(clients: usize, end: u64) -> Self {
        Self {
            end,
            clients: vec![(0, 0); clients],
            windows: vec![(0, 0); window(end) + 1],
            in_time_before_end: 0,
            responses: Vec::new(),
            refusals: Vec::new(),
        }
    }

    fn request(&mut self, arrival: &Arrival) {
        self.clients[usize::from(arrival.client)].0 += 1;
        self.windows[window(arrival.at)].0 += 1;
    }

    fn responded(&mut self, attempt: &Attempt, now: u64) {
        self.in_time_before_end += u64::from(now <= self.end);
        self.responses.push(now - attempt.at);
        self.clients[usize::from(attempt.arrival.client)].1 += 1;
        self.windows[window(attempt.arrival.at)].1 += 1;
    }

    /// The share of the requests that got a response in time, of those from second `seconds` on.
    pub(super) fn success_from(&self, seconds: f64) -> f64 {
        let windows = &self.windows[window((seconds * 1e9) as u64)..];
        let (requests, responded) =
            windows.iter().fold((0, 0), |sum, w| (sum.0 + w.0, sum.1 + w.1));
        responded as f64 / requests as f64
    }
}

fn window(at: u64) -> usize {
    (at / 100_000_000) as usize
}
