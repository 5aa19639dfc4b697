//! Clients, behaved and hostile: when they send what, and what came of it.

use std::collections::VecDeque;
use std::time::Duration;

use super::arrivals::Random;
use super::distinct_buckets;
use super::machine::Event;
use crate::pool::overload::fairness::Bucket;
use crate::pool::overload::refusal::Refusal;

/// From a response to the next request of a client that asks again at once.
const ROUND_TRIP: u64 = 50_000;
/// A SYN that was dropped is sent again after so long, and then after twice as long.
const SYN_AGAIN: u64 = 1_000_000_000;
/// How long a probe waits after a refusal, and after having been served.
const PROBE_AGAIN: (u64, u64) = (2_000_000, 20_000_000);
/// How long clients wait for a response.
const PATIENCE: u64 = 200_000_000;

/// What a request asks for. Times are in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    /// CPU time.
    pub(super) burn: u64,
    /// Time that the handler waits for something.
    pub(super) sleep: u64,
    /// The times are means of exponential distributions.
    pub(super) exponential: bool,
    /// What the handler waits for is its client.
    pub(super) client_waits: bool,
    /// How long the client says it waits.
    pub(super) patience: Option<Duration>,
}

impl Job {
    pub(super) const NOTHING: Self =
        Self { burn: 0, sleep: 0, exponential: false, client_waits: false, patience: None };

    pub(super) const fn sleeps(millis: u64) -> Self {
        Self { sleep: millis * 1_000_000, ..Self::NOTHING }
    }

    pub(super) const fn burns(millis: u64) -> Self {
        Self { burn: millis * 1_000_000, ..Self::NOTHING }
    }
}

/// When a connection sends its next request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// Never: one request, one connection.
    Once,
    /// So long after the last one, but not before its response: over the same connection, if that
    /// is kept.
    Every(u64),
    /// A newcomer that tries until it is served, and then is another newcomer.
    Probe,
}

/// One connection of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script {
    pub(super) client: usize,
    pub(super) start: u64,
    /// It sends nothing from here on.
    pub(super) until: u64,
    pub(super) pace: Pace,
    /// How many requests it has on the way at a time.
    pub(super) depth: usize,
    pub(super) job: Job,
    /// From this time on it asks for something else.
    pub(super) later: Option<(u64, Job)>,
}

impl Script {
    pub(super) fn once(client: usize, start: u64, job: Job) -> Self {
        let (until, pace) = (u64::MAX, Pace::Once);
        Self { client, start, until, pace, depth: 1, job, later: None }
    }
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// When its client sent it, or first wanted to.
    pub(super) sent: u64,
    pub(super) job: Job,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Closed, or in the kernel's backlog, or in the queue or the hands of a thread.
    Elsewhere,
    /// Watched by epoll.
    Parked,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) script: Script,
    pub(super) place: Place,
    /// Requests that have come and are not served.
    pub(super) input: VecDeque<Request>,
    /// Counts what the client opened, so that nothing arrives over a connection that was closed.
    pub(super) opened: u32,
    dropped_syns: u32,
    /// When a probe first came.
    wanted: Option<u64>,
}

/// What came of a client's requests. Latencies are in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
    /// Responses in time.
    pub(super) in_time: u64,
    /// The CPU time that went into those of them before the end of the load, in nanoseconds.
    pub(super) goodput: u64,
    pub(super) late: u64,
    pub(super) responses: Vec<u64>,
    pub(super) refusals: Vec<u64>,
    pub(super) resets: u64,
    /// Why they were refused, by [`Refusal`].
    pub(super) reasons: [u64; Refusal::COUNT],
    pub(super) dropped_syns: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.in_time += other.in_time;
        self.goodput += other.goodput;
        self.late += other.late;
        self.responses.extend(&other.responses);
        self.refusals.extend(&other.refusals);
        self.resets += other.resets;
        for (sum, count) in self.reasons.iter_mut().zip(other.reasons) {
            *sum += count;
        }
        self.dropped_syns += other.dropped_syns;
    }

    /// The longest wait of all that were served, in milliseconds; without end if none was.
    pub(super) fn worst_ms(&self) -> f64 {
        self.responses.iter().max().map_or(f64::INFINITY, |nanos| *nanos as f64 / 1e6)
    }

    /// The share of the requests that were served in time.
    pub(super) fn success(&self) -> f64 {
        self.in_time as f64 / self.requests as f64
    }
}

/// All clients of a run.
pub(super) struct Clients {
    pub(super) connections: Vec<Connection>,
    pub(super) tallies: Vec<Tally>,
    /// What is to happen because of what they did.
    pub(super) outbox: Vec<(u64, Event)>,
    buckets: Vec<Bucket>,
    random: Random,
    /// Requests sent from here on count, up to the end.
    counted: (u64, u64),
}

impl Clients {
    pub(super) fn new(scripts: &[Script], counted: (u64, u64)) -> Self {
        let clients = scripts.iter().map(|script| script.client + 1).max().unwrap_or(0);
        let mut all = Self {
            connections: Vec::new(),
            tallies: vec![Tally::default(); clients],
            outbox: Vec::new(),
            buckets: distinct_buckets(clients + 1),
            random: Random(2),
            counted,
        };
        for &script in scripts {
            all.connections.push(Connection {
                script,
                place: Place::Elsewhere,
                input: VecDeque::new(),
                opened: 0,
                dropped_syns: 0,
                wanted: None,
            });
            all.open(all.connections.len() - 1, script.start);
        }
        all
    }

    pub(super) fn bucket(&self, connection: usize) -> Bucket {
        self.buckets[self.connections[connection].script.client]
    }

    /// The bucket of a client that asks for nothing.
    pub(super) fn nobody(&self) -> Bucket {
        self.buckets[self.tallies.len()]
    }

    /// The client connects, and sends what it has to send.
    fn open(&mut self, index: usize, at: u64) {
        let connection = &mut self.connections[index];
        if at >= connection.script.until && connection.wanted.is_none() {
            return;
        }
        connection.opened += 1;
        connection.dropped_syns = 0;
        connection.place = Place::Elsewhere;
        connection.input.clear();
        self.outbox.push((at, Event::Syn(index)));
    }

    /// The client's SYN comes, and what it has to send will be there once it is accepted.
    pub(super) fn connect(&mut self, index: usize, now: u64) {
        if self.connections[index].input.is_empty() {
            (0..self.connections[index].script.depth).for_each(|_| self.send(index, now));
        }
    }

    /// A request arrives over a connection that is open: `true` if epoll has to tell of it.
    pub(super) fn receive(&mut self, index: usize, opened: u32, now: u64) -> bool {
        if self.connections[index].opened != opened {
            return false;
        }
        self.send(index, now);
        std::mem::replace(&mut self.connections[index].place, Place::Elsewhere) == Place::Parked
    }

    fn send(&mut self, index: usize, at: u64) {
        let connection = &mut self.connections[index];
        let script = connection.script;
        let mut job = script.later.filter(|later| at >= later.0).map_or(script.job, |it| it.1);
        if job.exponential {
            let factor = -(1.0 - self.random.unit()).ln();
            job.burn = (job.burn as f64 * factor) as u64;
            job.sleep = (job.sleep as f64 * factor) as u64;
        }
        let mut sent = at;
        if script.pace == Pace::Probe {
            sent = *connection.wanted.get_or_insert(at);
        }
        if sent == at && self.is_counted(script, at) {
            self.tallies[script.client].requests += 1;
        }
        self.connections[index].input.push_back(Request { sent, job });
    }

    /// The kernel had no room for it.
    pub(super) fn drop_syn(&mut self, index: usize, now: u64) {
        let connection = &mut self.connections[index];
        self.tallies[connection.script.client].dropped_syns += 1;
        self.outbox.push((now + (SYN_AGAIN << connection.dropped_syns.min(5)), Event::Syn(index)));
        connection.dropped_syns += 1;
    }

    /// The client gets its response.
    pub(super) fn respond(&mut self, index: usize, request: Request, now: u64) {
        let script = self.connections[index].script;
        let latency = now - request.sent;
        if self.is_counted(script, request.sent) {
            let end = self.counted.1;
            let tally = &mut self.tallies[script.client];
            tally.responses.push(latency);
            tally.in_time += u64::from(latency <= PATIENCE);
            if latency <= PATIENCE && now <= end {
                tally.goodput += request.job.burn;
            }
            tally.late += u64::from(latency > PATIENCE);
        }
        match script.pace {
            Pace::Once => {}
            Pace::Every(period) => {
                let at = (request.sent + period).max(now + ROUND_TRIP);
                if at < script.until {
                    let opened = self.connections[index].opened;
                    self.outbox.push((at, Event::Data(index, opened)));
                }
            }
            Pace::Probe => {
                self.connections[index].wanted = None;
                self.open(index, now + PROBE_AGAIN.1);
            }
        }
    }

    /// The client is refused, with a response or with a reset.
    pub(super) fn refuse(&mut self, index: usize, reset: bool, reason: Refusal, now: u64) {
        let requests = std::mem::take(&mut self.connections[index].input);
        let Connection { script, opened, .. } = self.connections[index];
        let Some(&first) = requests.front() else { return };
        for request in &requests {
            if !self.is_counted(script, request.sent) {
                continue;
            }
            let tally = &mut self.tallies[script.client];
            tally.refusals.push(now - request.sent);
            tally.resets += u64::from(reset);
            tally.reasons[reason as usize] += 1;
        }
        match script.pace {
            Pace::Once => {}
            Pace::Every(period) => {
                let at = (first.sent + period).max(now + ROUND_TRIP);
                // With more requests behind the one that is refused, the connection is closed.
                if reset || requests.len() > 1 {
                    self.open(index, at);
                } else if at < script.until {
                    self.connections[index].place = Place::Parked;
                    self.outbox.push((at, Event::Data(index, opened)));
                }
            }
            Pace::Probe => self.open(index, now + PROBE_AGAIN.0),
        }
    }

    /// The run is over: probes that are not served by now have waited until now at the least.
    pub(super) fn finish(&mut self, now: u64) {
        for connection in &self.connections {
            if let Some(wanted) = connection.wanted {
                self.tallies[connection.script.client].responses.push(now - wanted);
            }
        }
    }

    fn is_counted(&self, script: Script, sent: u64) -> bool {
        script.pace == Pace::Probe || (self.counted.0..self.counted.1).contains(&sent)
    }
}
