//! Clients, well-behaved and hostile: what they send and when, and which responses they get.

use std::collections::VecDeque;
use std::time::Duration;

use super::arrivals::Random;
use super::common::{RESPONSE_TIMEOUT, distinct_buckets};
use super::event::Event;
use crate::pool::overload::fairness::Bucket;
use crate::pool::overload::refusal::Refusal;

/// The time from a response to the next request of a client that sends it at once.
const ROUND_TRIP: u64 = 50_000;
/// How long until a client repeats a SYN that was dropped; doubled each time.
const SYN_RETRY: u64 = 1_000_000_000;
/// How long a probe waits after a refusal, and after a response.
const PROBE_RETRY: (u64, u64) = (2_000_000, 20_000_000);

/// What the handler of a request does. Times are in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimulatedHandler {
    /// CPU time.
    pub(super) burn: u64,
    /// Time in which the handler waits.
    pub(super) sleep: u64,
    /// Whether the times are means of exponential distributions.
    pub(super) exponential: bool,
    /// Whether the handler waits for its client.
    pub(super) client_waits: bool,
    /// The timeout that the client sends along.
    pub(super) timeout: Option<Duration>,
}

impl SimulatedHandler {
    pub(super) const NOTHING: Self =
        Self { burn: 0, sleep: 0, exponential: false, client_waits: false, timeout: None };

    pub(super) const fn sleeps(millis: u64) -> Self {
        Self { sleep: millis * 1_000_000, ..Self::NOTHING }
    }

    pub(super) const fn burns(millis: u64) -> Self {
        Self { burn: millis * 1_000_000, ..Self::NOTHING }
    }
}

/// When a connection sends its next request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Repeat {
    /// Never: one request, one connection.
    Once,
    /// This long after the last request, but not before its response; over the same connection, if
    /// that is still open.
    Every(u64),
    /// A new client that tries until it is served, and then counts as another new client.
    Probe,
}

/// One connection of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script {
    pub(super) client: usize,
    /// Whether it is a trusted proxy's connection, which carries the client's requests.
    pub(super) proxied: bool,
    pub(super) start: u64,
    /// From this time on it sends no requests.
    pub(super) until: u64,
    pub(super) repeat: Repeat,
    /// How many requests it sends without waiting for a response.
    pub(super) depth: usize,
    pub(super) handler: SimulatedHandler,
    /// From a certain time on, its requests have another handler.
    pub(super) later: Option<(u64, SimulatedHandler)>,
}

impl Script {
    pub(super) fn once(client: usize, start: u64, handler: SimulatedHandler) -> Self {
        let (until, repeat) = (u64::MAX, Repeat::Once);
        Self { client, proxied: false, start, until, repeat, depth: 1, handler, later: None }
    }
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimulatedRequest {
    /// When its client sent it, or a probe first tried to.
    pub(super) sent: u64,
    pub(super) handler: SimulatedHandler,
}

#[derive(Debug)]
pub(super) struct SimulatedConnection {
    pub(super) script: Script,
    /// Whether epoll watches it.
    pub(super) parked: bool,
    /// Requests that have arrived and are not served yet.
    pub(super) input: VecDeque<SimulatedRequest>,
    /// How often the client has connected, so that a request for a closed connection is recognized.
    pub(super) opened: u32,
    dropped_syns: u32,
    /// When a probe first tried.
    wanted: Option<u64>,
}

/// The results of a client's requests. Latencies are in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
    /// Responses within the timeout.
    pub(super) in_time: u64,
    /// CPU time of the handlers of those before the end of the load, in nanoseconds.
    pub(super) goodput: u64,
    pub(super) late: u64,
    pub(super) responses: Vec<u64>,
    pub(super) refusals: Vec<u64>,
    pub(super) resets: u64,
    /// Refusals by reason.
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

    /// The longest latency of a response, in milliseconds; infinite if there was none.
    pub(super) fn worst_ms(&self) -> f64 {
        self.responses.iter().max().map_or(f64::INFINITY, |nanos| *nanos as f64 / 1e6)
    }

    /// The share of the requests that got a response in time.
    pub(super) fn success(&self) -> f64 {
        self.in_time as f64 / self.requests as f64
    }
}

/// All clients of a run.
pub(super) struct Clients {
    pub(super) connections: Vec<SimulatedConnection>,
    pub(super) tallies: Vec<Tally>,
    /// Events that the clients cause.
    pub(super) outbox: Vec<(u64, Event)>,
    buckets: Vec<Bucket>,
    random: Random,
    /// Requests sent within this time count.
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
            all.connections.push(SimulatedConnection {
                script,
                parked: false,
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

    /// Whether it is a trusted proxy's connection.
    pub(super) fn is_proxied(&self, connection: usize) -> bool {
        self.connections[connection].script.proxied
    }

    /// The bucket of a client that sends no requests.
    pub(super) fn absent_client(&self) -> Bucket {
        self.buckets[self.tallies.len()]
    }

    /// The client connects, and sends its requests.
    fn open(&mut self, index: usize, at: u64) {
        let connection = &mut self.connections[index];
        if at >= connection.script.until && connection.wanted.is_none() {
            return;
        }
        connection.opened += 1;
        connection.dropped_syns = 0;
        connection.parked = false;
        connection.input.clear();
        self.outbox.push((at, Event::Syn(index)));
    }

    /// The client's SYN arrives. Its requests will be there once the connection is accepted.
    pub(super) fn connect(&mut self, index: usize, now: u64) {
        if self.connections[index].input.is_empty() {
            (0..self.connections[index].script.depth).for_each(|_| self.send(index, now));
        }
    }

    /// A request arrives. Returns `true` if epoll has to report it.
    pub(super) fn receive(&mut self, index: usize, opened: u32, now: u64) -> bool {
        if self.connections[index].opened != opened {
            return false;
        }
        self.send(index, now);
        std::mem::take(&mut self.connections[index].parked)
    }

    fn send(&mut self, index: usize, at: u64) {
        let connection = &mut self.connections[index];
        let script = connection.script;
        let mut handler =
            script.later.filter(|later| at >= later.0).map_or(script.handler, |it| it.1);
        if handler.exponential {
            let factor = -(1.0 - self.random.unit()).ln();
            handler.burn = (handler.burn as f64 * factor) as u64;
            handler.sleep = (handler.sleep as f64 * factor) as u64;
        }
        let mut sent = at;
        if script.repeat == Repeat::Probe {
            sent = *connection.wanted.get_or_insert(at);
        }
        if sent == at && self.is_counted(script, at) {
            self.tallies[script.client].requests += 1;
        }
        self.connections[index].input.push_back(SimulatedRequest { sent, handler });
    }

    /// The kernel drops the SYN of a connection, as its backlog is full.
    pub(super) fn drop_syn(&mut self, index: usize, now: u64) {
        let connection = &mut self.connections[index];
        self.tallies[connection.script.client].dropped_syns += 1;
        self.outbox.push((now + (SYN_RETRY << connection.dropped_syns.min(5)), Event::Syn(index)));
        connection.dropped_syns += 1;
    }

    /// The client gets its response.
    pub(super) fn respond(&mut self, index: usize, request: SimulatedRequest, now: u64) {
        let script = self.connections[index].script;
        let latency = now - request.sent;
        if self.is_counted(script, request.sent) {
            let end = self.counted.1;
            let tally = &mut self.tallies[script.client];
            tally.responses.push(latency);
            tally.in_time += u64::from(latency <= RESPONSE_TIMEOUT);
            if latency <= RESPONSE_TIMEOUT && now <= end {
                tally.goodput += request.handler.burn;
            }
            tally.late += u64::from(latency > RESPONSE_TIMEOUT);
        }
        match script.repeat {
            Repeat::Once => {}
            Repeat::Every(period) => {
                let at = (request.sent + period).max(now + ROUND_TRIP);
                if at < script.until {
                    let opened = self.connections[index].opened;
                    self.outbox.push((at, Event::Data(index, opened)));
                }
            }
            Repeat::Probe => {
                self.connections[index].wanted = None;
                self.open(index, now + PROBE_RETRY.1);
            }
        }
    }

    /// The client is refused, with a response or with a reset.
    pub(super) fn refuse(&mut self, index: usize, reset: bool, reason: Refusal, now: u64) {
        let requests = std::mem::take(&mut self.connections[index].input);
        let SimulatedConnection { script, opened, .. } = self.connections[index];
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
        match script.repeat {
            Repeat::Once => {}
            Repeat::Every(period) => {
                let at = (first.sent + period).max(now + ROUND_TRIP);
                // If more requests are behind the refused one, the server closes the connection.
                if reset || requests.len() > 1 {
                    self.open(index, at);
                } else if at < script.until {
                    self.connections[index].parked = true;
                    self.outbox.push((at, Event::Data(index, opened)));
                }
            }
            Repeat::Probe => self.open(index, now + PROBE_RETRY.0),
        }
    }

    /// Ends the run. Probes that were not served have waited until now at least.
    pub(super) fn finish(&mut self, now: u64) {
        for connection in &self.connections {
            if let Some(wanted) = connection.wanted {
                self.tallies[connection.script.client].responses.push(now - wanted);
            }
        }
    }

    fn is_counted(&self, script: Script, sent: u64) -> bool {
        script.repeat == Repeat::Probe || (self.counted.0..self.counted.1).contains(&sent)
    }
}
