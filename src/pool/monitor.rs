//! The monitor: it sees to it that what moves keeps moving, that deadlines are kept, and that work
//! is turned away while every worker is busy.
//!
//! It sleeps while somebody leads and nothing is queued; an idle server has no wake-ups. While work
//! moves it looks once a tick: if nobody has looked at epoll since, it wakes a follower; if there
//! is none, it looks itself, so that a keep-alive client gets its place in the queue, or its
//! refusal, though every worker is held by a handler.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::pool::admit::{refuse, refuse_at_once};
use crate::pool::connection::{Connection, Phase};
use crate::pool::guard::{ProtocolWorkers, persist};
use crate::pool::leader::Lead;
use crate::pool::overload::refusal::Refusal;
use crate::pool::overload_log::OverloadLog;
use crate::pool::poller::{BATCH, Ready};
use crate::pool::protocol::TurnContext;
use crate::pool::queue::{Ticket, Work};
use crate::pool::shared::Shared;
use crate::sync::later;

/// How many looks without finding anything, before the monitor waits on epoll instead of looking.
const FRUITLESS: u32 = 8;

/// How many looks without anything having moved, before the monitor sleeps. Rousing it costs
/// whoever does so more than these few looks cost it.
const QUIET: u32 = 16;

/// How long a connection that has not said anything yet may do so once the server is stopping.
const NEWCOMERS_GRACE: Duration = Duration::from_secs(1);

/// The thread that looks after the others.
pub(crate) struct Monitor {
    shared: Arc<Shared>,
    protocols: ProtocolWorkers,
    /// What the last look saw.
    looks: u64,
    turns: u64,
    /// When the workers were last seen to take something.
    moved: Instant,
    /// When there may be something in the queue that has waited for too long.
    shed_next: Instant,
    fruitless: u32,
    quiet: u32,
    overload_log: OverloadLog,
}

impl Monitor {
    pub(crate) fn new(shared: Arc<Shared>, protocols: ProtocolWorkers) -> Self {
        let now = Instant::now();
        let overload_log = OverloadLog::new(&shared);
        Self {
            shared,
            protocols,
            looks: 0,
            turns: 0,
            moved: now,
            shed_next: now,
            fruitless: 0,
            quiet: 0,
            overload_log,
        }
    }

    /// Watches until the server has stopped.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        shared.leader.register_monitor();
        persist(&shared, &mut self, |it| it.protocols.renew(), Self::watch);
    }

    fn watch(&mut self) {
        let shared = Arc::clone(&self.shared);
        while !shared.is_stopped() {
            let now = Instant::now();
            self.expire(now);
            shared.queue.controller.settle(now, shared.queue.len());
            self.overload_log.look(&shared, now);
            if shared.is_draining() {
                self.retire(now);
            } else if self.quiet >= QUIET && self.is_steady() {
                let until_due = || self.until_due(Instant::now());
                shared
                    .leader
                    .sleep_monitor(until_due, || !self.is_steady() || shared.is_draining());
                if self.is_steady() {
                    continue;
                }
                self.quiet = 0;
            }
            std::thread::park_timeout(shared.pool.tick);
            self.look(Instant::now());
        }
    }

    /// How long until there is something to do though nothing moves.
    fn until_due(&self, now: Instant) -> Option<Duration> {
        let due =
            [self.shared.poller.until_deadline(now), self.overload_log.wait(&self.shared, now)];
        due.into_iter().flatten().min()
    }

    /// Whether the others need nobody to look after them: a leader waits for whatever comes.
    fn is_steady(&self) -> bool {
        self.shared.leader.is_led() && !self.shared.queue.has_any()
    }

    /// Closes the connections whose deadline has passed.
    fn expire(&mut self, now: Instant) {
        let shared = &self.shared;
        let config = shared.config.load();
        let protocols = &mut self.protocols;
        shared.poller.expire(now, |mut connection| {
            let protocol = protocols.of(connection.protocol);
            if connection.phase == Phase::Write && connection.output.look_again(now) {
                // A worker finds out whether the client has taken anything, and goes on if so.
                shared.enqueue_or_refuse(Work::of(connection), now, protocol);
                shared.wake_worker();
                return;
            }
            if connection.phase == Phase::Held {
                refuse_at_once(shared, protocol, connection, Refusal::OverFairShare, now);
                return;
            }
            let reason =
                protocol.expire(&mut connection, &mut TurnContext::new(shared, &config, now));
            shared.close(connection, reason);
        });
    }

    fn look(&mut self, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let (looks, turns) = (shared.leader.looks(), shared.counters.turns());
        let was_led = looks != self.looks || shared.leader.is_led();
        let moved = turns != self.turns;
        self.quiet = if moved || looks != self.looks { 0 } else { self.quiet.saturating_add(1) };
        (self.looks, self.turns) = (looks, turns);
        if moved {
            self.moved = now;
        }
        if !was_led {
            if !shared.leader.wake_one() {
                self.lead();
            }
        } else if !moved && shared.queue.has_work(now) && shared.leader.wake_again() {
            shared.poller.wake();
        }
        self.shed_deferred(now);
        let stuck = now.saturating_duration_since(self.moved);
        if now >= self.shed_next
            && !shared.queue.is_empty()
            && stuck > shared.config.load().overload.deadline
        {
            self.shed(now);
        }
    }

    /// Looks at epoll in the place of the workers, who are all busy; after some looks in vain,
    /// waits.
    fn lead(&mut self) {
        let shared = Arc::clone(&self.shared);
        shared.take_back();
        let now = Instant::now();
        if !shared.leader.try_lead_as_monitor() {
            return;
        }
        let lead = Lead(&shared.leader);
        let waits = self.fruitless >= FRUITLESS && !shared.queue.has_any();
        let timeout = if waits { self.until_due(now) } else { Some(Duration::ZERO) };
        let mut found = Vec::new();
        // If the queue is full there may still be urgent connections, which epoll cannot tell
        // apart.
        let room = shared.queue.room();
        let most = if room == 0 { BATCH } else { room };
        let result = shared.poller.wait(most, timeout, |ready| match ready {
            Ready::Connection(connection) => found.push(connection),
            // They were lent to a worker that is not there to receive.
            Ready::DatagramSocket(_) => shared.take_back(),
        });
        drop(lead);
        if let Err(error) = result {
            log::error!("epoll_wait: {error}");
        }
        self.fruitless = if found.is_empty() { self.fruitless.saturating_add(1) } else { 0 };
        let now = Instant::now();
        // Where requests are quick, the workers will soon have room for the others.
        let put_off = room == 0 && shared.queue.controller.holds_back();
        for connection in found {
            if put_off && !connection.urgent {
                shared.put_off(connection, now);
                continue;
            }
            let protocol = self.protocols.of(connection.protocol);
            shared.enqueue_or_refuse(Work::of(connection), now, protocol);
            shared.wake_worker();
        }
    }

    /// Turns work away that was put aside for others and can no longer be done in time.
    fn shed_deferred(&mut self, now: Instant) {
        while let Some(ticket) = self.shared.queue.take_overdue(now) {
            self.turn_away(ticket, Refusal::Deadline, now);
        }
    }

    fn turn_away(&mut self, ticket: Ticket, refusal: Refusal, now: Instant) {
        let shared = Arc::clone(&self.shared);
        // Its verdict is clear, but it has to be counted as taken.
        let _ = shared.queue.judge(&ticket, now);
        match ticket.work {
            Work::Connection(connection) | Work::Continuation(connection) => {
                let protocol = self.protocols.of(connection.protocol);
                refuse(&shared, protocol, connection, refusal, now);
            }
            Work::Datagram(datagram) => shared.drop_datagram(datagram, refusal),
        }
    }

    /// Every worker has been in the same handler for longer than a request may take: what has
    /// waited as long can only come too late, and is told so. What came later keeps its place.
    fn shed(&mut self, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let deadline = shared.config.load().overload.deadline;
        let mut oldest = now;
        // Each channel by its own length: what is put back is not taken again.
        let lengths = [true, false].map(|urgent| (urgent, shared.queue.len_of(urgent)));
        for urgent in lengths.into_iter().flat_map(|(urgent, len)| std::iter::repeat_n(urgent, len))
        {
            let Some(ticket) = shared.queue.take_any(urgent) else { continue };
            let (ticket, refusal) = if shared.queue.is_overdue(&ticket, now) {
                (ticket, Refusal::Deadline)
            } else {
                oldest = oldest.min(ticket.entered);
                let Err(ticket) = shared.queue.put_back(ticket) else { continue };
                (ticket, Refusal::QueueFull)
            };
            self.turn_away(ticket, refusal, now);
        }
        // A look costs as much as the queue is long: a few within a deadline are enough.
        self.shed_next = later(oldest, deadline).max(later(now, deadline / 16));
    }

    /// Closes the idle connections while the server stops. One that has just sent a request is
    /// still served; one that has not said anything yet gets a moment to do so.
    fn retire(&mut self, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let newcomers_too =
            now.saturating_duration_since(shared.draining_since()) > NEWCOMERS_GRACE;
        let wanted = |connection: &Connection| match connection.phase {
            Phase::Idle => true,
            Phase::Head => newcomers_too && connection.input.is_empty(),
            Phase::Body | Phase::Discard | Phase::Write | Phase::Linger | Phase::Held => false,
        };
        let mut idle = Vec::new();
        shared.poller.sweep(wanted, |connection| idle.push(connection));
        for connection in idle {
            if connection.stream.has_input() {
                let protocol = self.protocols.of(connection.protocol);
                shared.enqueue_or_refuse(Work::of(connection), now, protocol);
                shared.wake_worker();
            } else {
                shared.close(connection, CloseReason::Draining);
            }
        }
    }
}
