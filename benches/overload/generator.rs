//! The open-loop generator: one thread, one epoll, a load that was drawn up beforehand.
//!
//! Requests go out when they are meant to, whatever has become of those before. Latency counts from
//! the intended moment, so that a generator which falls behind cannot flatter the server; how far
//! it fell behind is measured too.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::arrivals::Arrival;
use crate::outcome::{Outcome, Report};
use crate::plan::Plan;
use crate::response::complete;
use crate::timer::Timer;
use crate::wire;

/// Events handled before the clock is looked at again: what is due must not wait for a long batch.
const BATCH: usize = 32;
/// The timer's key in epoll; connections have their index and generation.
const TIMER: u64 = u64::MAX;

/// A request under way, or waiting to be tried again.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    arrival: Arrival,
    /// When this attempt is meant to be sent, in nanoseconds from the start.
    at: u64,
    tries_left: u8,
}

/// A place for a connection. The generation tells events and deadlines of its earlier uses apart.
#[derive(Debug, Default)]
struct Slot {
    socket: Option<OwnedFd>,
    generation: u32,
    attempt: Option<Attempt>,
    sent: bool,
    source: Option<Ipv4Addr>,
    /// The beginning of a response that came in pieces.
    partial: Vec<u8>,
}

struct Generator<'a> {
    plan: &'a Plan,
    request: &'static [u8],
    start: Instant,
    poll: OwnedFd,
    timer: Timer,
    slots: Vec<Slot>,
    /// Slots without a request: without a socket, or, in a keep-alive set, with one most of the
    /// time.
    free: VecDeque<usize>,
    /// Attempts that found every connection of the keep-alive set taken.
    waiting: VecDeque<Attempt>,
    retries: VecDeque<Attempt>,
    deadlines: BinaryHeap<Reverse<(u64, usize, u32)>>,
    live: usize,
    report: Report,
}

/// Puts the load on the server, from this thread, and tells what came of it.
pub(crate) fn run(plan: &Plan) -> Result<Report, String> {
    let arrivals = plan.arrivals();
    let mut generator = Generator::new(plan).map_err(|error| format!("epoll: {error}"))?;
    if let Some(count) = plan.keep_alive {
        generator.open_set(count)?;
    }
    generator.start = Instant::now();
    generator.run(&arrivals).map_err(|error| format!("epoll: {error}"))?;
    Ok(generator.report)
}

impl<'a> Generator<'a> {
    fn new(plan: &'a Plan) -> Result<Self, Errno> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = Timer::new()?;
        let edge = EventFlags::IN | EventFlags::ET;
        epoll::add(&poll, &timer, EventData::new_u64(TIMER), edge)?;
        let request = plan.request.unwrap_or(match plan.keep_alive {
            Some(_) => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            None => b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        });
        let end: Duration = plan.phases.iter().map(|phase| phase.time).sum();
        let counted =
            plan.phases.iter().filter(|phase| phase.counted).map(|phase| phase.time).sum();
        Ok(Self {
            plan,
            request,
            start: Instant::now(),
            poll,
            timer,
            slots: Vec::new(),
            free: VecDeque::new(),
            waiting: VecDeque::new(),
            retries: VecDeque::new(),
            deadlines: BinaryHeap::new(),
            live: 0,
            report: Report::new(plan.clients.len(), counted, end.as_nanos() as u64),
        })
    }

    /// Connects the keep-alive set before the load starts.
    fn open_set(&mut self, count: usize) -> Result<(), String> {
        let wanted = |what: Outcome| format!("cannot open {count} connections: {}", what.name());
        for index in 0..count {
            let source = self.plan.clients[index % self.plan.clients.len()].source;
            let socket = wire::open(self.plan.target, source).map_err(wanted)?;
            self.slots.push(Slot { source, socket: Some(socket), ..Slot::default() });
            self.register(index, EventFlags::IN | EventFlags::OUT)
                .map_err(|error| format!("epoll: {error}"))?;
            self.free.push_back(index);
        }
        Ok(())
    }

    fn run(&mut self, arrivals: &[Arrival]) -> Result<(), Errno> {
        let mut arrivals = arrivals.iter().peekable();
        let mut events = Vec::with_capacity(BATCH);
        let mut buffer = vec![0_u8; 16 * 1024];
        loop {
            let now = self.now();
            while let Some(&arrival) = arrivals.next_if(|arrival| arrival.at <= now) {
                let now = self.now();
                self.report.sent(&arrival, now - arrival.at);
                self.launch(Attempt { arrival, at: arrival.at, tries_left: arrival.retries });
            }
            while let Some(attempt) = self.retries.pop_front_if(|attempt| attempt.at <= now) {
                self.launch(attempt);
            }
            self.give_up(self.now());
            while !self.free.is_empty()
                && let Some(attempt) = self.waiting.pop_front()
            {
                self.launch(attempt);
            }
            let next_arrival = arrivals.peek().map(|arrival| arrival.at);
            if next_arrival.is_none() && self.is_done() {
                return Ok(());
            }
            self.arm(next_arrival)?;
            events.clear();
            match epoll::wait(&self.poll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            for event in &events {
                self.handle(*event, &mut buffer);
            }
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn is_done(&self) -> bool {
        self.live == 0 && self.retries.is_empty() && self.waiting.is_empty()
    }

    /// Sets the timer for whatever is due first.
    fn arm(&mut self, next_arrival: Option<u64>) -> Result<(), Errno> {
        let next_retry = self.retries.front().map(|attempt| attempt.at);
        let next_deadline = self.deadlines.peek().map(|Reverse((at, ..))| *at);
        let patience = self.plan.patience.as_nanos() as u64;
        let next_loss = self.waiting.front().map(|attempt| attempt.at + patience);
        let due = [next_arrival, next_retry, next_deadline, next_loss].into_iter().flatten().min();
        let due = due.expect("something is under way, so something has a deadline");
        self.timer.set(due, self.now())
    }

    /// Sends a request, as far as that goes without waiting.
    fn launch(&mut self, attempt: Attempt) {
        let Some(index) = self.take_slot() else {
            self.waiting.push_back(attempt);
            return;
        };
        let fresh = self.plan.keep_alive.is_none();
        let slot = &mut self.slots[index];
        if fresh {
            slot.source = self.plan.clients[usize::from(attempt.arrival.client)].source;
        }
        slot.attempt = Some(attempt);
        slot.sent = false;
        slot.partial.clear();
        self.live += 1;
        let deadline = attempt.at + self.plan.patience.as_nanos() as u64;
        self.deadlines.push(Reverse((deadline, index, slot.generation)));
        if let Err(outcome) = self.send(index) {
            self.finish(index, outcome, false);
        }
    }

    /// A slot for a fresh connection, or one of the set; `None` when all of the set are taken.
    fn take_slot(&mut self) -> Option<usize> {
        self.free.pop_front().or_else(|| {
            self.plan.keep_alive.is_none().then(|| {
                self.slots.push(Slot::default());
                self.slots.len() - 1
            })
        })
    }

    fn send(&mut self, index: usize) -> Result<(), Outcome> {
        let slot = &mut self.slots[index];
        if let Some(socket) = &slot.socket {
            slot.sent = wire::send_request(socket, self.request)?;
            return Ok(());
        }
        let socket = wire::open(self.plan.target, slot.source)?;
        // On the loopback the connection is mostly there by now, which saves waiting for it.
        slot.sent = wire::send_request(&socket, self.request)?;
        slot.socket = Some(socket);
        let sent_already = slot.sent && self.plan.keep_alive.is_none();
        let out = if sent_already { EventFlags::empty() } else { EventFlags::OUT };
        self.register(index, EventFlags::IN | out).map_err(|_| Outcome::NotSent)
    }

    fn register(&self, index: usize, flags: EventFlags) -> Result<(), Errno> {
        let slot = &self.slots[index];
        let Some(socket) = &slot.socket else { return Ok(()) };
        let key = EventData::new_u64(index as u64 | u64::from(slot.generation) << 32);
        epoll::add(&self.poll, socket, key, flags | EventFlags::ET)
    }

    fn handle(&mut self, event: Event, buffer: &mut [u8]) {
        let key = event.data.u64();
        if key == TIMER {
            return;
        }
        let (index, generation) = ((key & 0xffff_ffff) as usize, (key >> 32) as u32);
        let slot = &mut self.slots[index];
        // In a set, generations count requests but the socket is registered once; its events hold.
        if slot.generation != generation && self.plan.keep_alive.is_none() {
            return;
        }
        let Some(socket) = &slot.socket else { return };
        if slot.attempt.is_some() && !slot.sent {
            match wire::send_request(socket, self.request) {
                Ok(sent) => slot.sent = sent,
                Err(outcome) => return self.finish(index, outcome, false),
            }
        }
        // An edge is reported once for all that is there: read on until the response is whole or
        // nothing is left.
        while let Some(socket) = &self.slots[index].socket {
            match wire::receive(socket, buffer) {
                Ok(None) => return,
                Ok(Some(0)) => return self.finish(index, Outcome::Reset, false),
                Ok(Some(read)) if self.received(index, &buffer[..read]) => return,
                Ok(Some(_)) => {}
                Err(outcome) => return self.finish(index, outcome, false),
            }
        }
    }

    /// Reads a piece of a response; true when that ended the attempt.
    fn received(&mut self, index: usize, bytes: &[u8]) -> bool {
        let slot = &mut self.slots[index];
        let response = if slot.partial.is_empty() {
            complete(bytes)
        } else {
            slot.partial.extend_from_slice(bytes);
            complete(&slot.partial)
        };
        let Some(response) = response else {
            if slot.partial.is_empty() {
                slot.partial.extend_from_slice(bytes);
            }
            return false;
        };
        let at = slot.attempt.map_or(0, |attempt| attempt.at);
        let outcome = match response.status {
            200..=299 if self.now() - at <= self.plan.deadline.as_nanos() as u64 => Outcome::InTime,
            200..=299 => Outcome::Late,
            503 => Outcome::Unavailable,
            _ => Outcome::Other,
        };
        self.finish(index, outcome, !response.close);
        true
    }

    /// Ends the attempts whose clients have no patience left.
    fn give_up(&mut self, now: u64) {
        while let Some(&Reverse((at, index, generation))) = self.deadlines.peek() {
            if at > now {
                break;
            }
            self.deadlines.pop();
            if self.slots[index].generation == generation {
                self.finish(index, Outcome::Timeout, false);
            }
        }
        let patience = self.plan.patience.as_nanos() as u64;
        while let Some(attempt) = self.waiting.pop_front_if(|a| a.at + patience <= now) {
            self.count(attempt, Outcome::Timeout);
        }
    }

    /// An attempt is over; `reusable`: the server keeps the connection.
    fn finish(&mut self, index: usize, outcome: Outcome, reusable: bool) {
        let slot = &mut self.slots[index];
        let Some(attempt) = slot.attempt.take() else {
            // An idle connection of the set was closed: the next request opens another.
            slot.socket = None;
            return;
        };
        slot.generation = slot.generation.wrapping_add(1);
        if !(reusable && self.plan.keep_alive.is_some()) {
            let socket = slot.socket.take();
            if let Some(socket) = socket.filter(|_| outcome != Outcome::Timeout) {
                wire::reset_on_close(&socket);
            }
        }
        self.live -= 1;
        self.free.push_back(index);
        self.count(attempt, outcome);
    }

    /// Counts the end of an attempt, and plans the next one if the client tries again.
    fn count(&mut self, attempt: Attempt, outcome: Outcome) {
        let now = self.now();
        let first = attempt.tries_left == attempt.arrival.retries;
        let latency = now.saturating_sub(attempt.at);
        self.report.ended(&attempt.arrival, first, outcome, latency, now);
        if outcome.is_retried() && attempt.tries_left > 0 {
            let at = now + self.plan.retry_pause.as_nanos() as u64;
            let tries_left = attempt.tries_left - 1;
            self.retries.push_back(Attempt { at, tries_left, ..attempt });
        }
    }
}
