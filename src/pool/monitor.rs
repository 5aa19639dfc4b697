//! The monitor: it keeps deadlines, refuses work while every worker is busy, and checks that a
//! thread polls.
//!
//! It sleeps while a thread leads and the queue is empty, so that an idle server has no wake-ups.
//! While requests are served it looks once a tick. If no thread has polled since the last look, it
//! wakes a worker; if all are busy, it polls itself, so that a request on a kept connection is
//! enqueued, or refused, although every worker is in a handler.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::pool::connection::Phase;
use crate::pool::guard::{ProtocolWorkers, persist};
use crate::pool::idle_drain::IdleDrain;
use crate::pool::leader::Lead;
use crate::pool::overload::refusal::Refusal;
use crate::pool::overload_log::OverloadLog;
use crate::pool::poller::{BATCH, Ready};
use crate::pool::protocol::TurnContext;
use crate::pool::queue::{QueuedWork, Work};
use crate::pool::shared::Shared;
use crate::sync::later;

/// The number of polls in vain after which the monitor waits on epoll instead.
const POLLS_IN_VAIN: u32 = 8;

/// The number of looks without any progress after which the monitor sleeps. Waking it costs the
/// waking thread more than these looks cost the monitor.
const LOOKS_WITHOUT_PROGRESS: u32 = 16;

/// The monitor thread.
pub(crate) struct Monitor {
    shared: Arc<Shared>,
    protocols: ProtocolWorkers,
    /// The leader's polls and the workers' turns at the last look.
    polls: u64,
    turns: u64,
    /// When a look last found that workers had taken work.
    last_turn: Instant,
    /// The earliest time at which queued work may have waited too long.
    next_shed: Instant,
    polls_in_vain: u32,
    looks_without_progress: u32,
    overload_log: OverloadLog,
    idle_drain: IdleDrain,
}

impl Monitor {
    pub(crate) fn new(shared: Arc<Shared>, protocols: ProtocolWorkers) -> Self {
        let now = Instant::now();
        let overload_log = OverloadLog::new(&shared);
        Self {
            shared,
            protocols,
            polls: 0,
            turns: 0,
            last_turn: now,
            next_shed: now,
            polls_in_vain: 0,
            looks_without_progress: 0,
            overload_log,
            idle_drain: IdleDrain::default(),
        }
    }

    /// Runs until the server has stopped.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        shared.leader.register_monitor();
        persist(&shared, &mut self, |it| it.protocols.renew(), Self::watch);
        self.idle_drain.close_all(&shared);
    }

    fn watch(&mut self) {
        let shared = Arc::clone(&self.shared);
        while !shared.is_stopped() {
            let now = Instant::now();
            self.expire(now);
            shared.queue.controller.refresh(now, shared.queue.len());
            self.overload_log.update(&shared, now);
            shared.cancel_unwanted(now);
            if shared.is_draining() {
                self.idle_drain.close_idle(&shared, &mut self.protocols, now);
            } else if self.looks_without_progress >= LOOKS_WITHOUT_PROGRESS && self.is_steady() {
                // The conditions are checked again once the sleep was announced: whatever changes
                // afterwards wakes the monitor.
                let until_due = || self.until_due(Instant::now());
                shared
                    .leader
                    .sleep_monitor(until_due, || !self.is_steady() || shared.is_draining());
                if self.is_steady() {
                    // A deadline, a log line or a check is due.
                    continue;
                }
                self.looks_without_progress = 0;
            }
            std::thread::park_timeout(shared.pool.tick);
            self.look(Instant::now());
        }
    }

    /// The time until the next deadline, log line or check for requests to cancel, if no request
    /// comes.
    fn until_due(&self, now: Instant) -> Option<Duration> {
        let shared = &self.shared;
        let due = [
            shared.poller.until_deadline(now),
            self.overload_log.wait(shared, now),
            shared.cancellations.until_check(now),
        ];
        due.into_iter().flatten().min()
    }

    /// Whether the workers need no monitor: a leader polls, and the queue is empty.
    fn is_steady(&self) -> bool {
        self.shared.leader.is_led() && self.shared.queue.is_idle()
    }

    /// Closes the connections whose deadline has passed.
    fn expire(&mut self, now: Instant) {
        let shared = &self.shared;
        let config = shared.config.load();
        let protocols = &mut self.protocols;
        shared.poller.expire(now, |mut connection| {
            let protocol = protocols.of(connection.protocol);
            if connection.phase == Phase::Write && connection.note_overdue(now) {
                // A worker tries to send more, and so finds out whether the client has read
                // anything.
                shared.enqueue_or_refuse(Work::of(connection), now, protocol);
                shared.wake_worker();
                return;
            }
            if connection.awaits_proxy_header {
                // The protocol knows nothing of the connection yet, and has nothing to send.
                shared.close(connection, CloseReason::HeadTimeout);
                return;
            }
            if connection.phase == Phase::Held {
                shared.refuse_with_response(protocol, connection, Refusal::OverFairShare, now);
                return;
            }
            let reason =
                protocol.expire(&mut connection, &mut TurnContext::new(shared, &config, now));
            shared.close(connection, reason);
        });
    }

    fn look(&mut self, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let (polls, turns) = (shared.leader.polls(), shared.counters.turns());
        let was_led = polls != self.polls || shared.leader.is_led();
        let took_work = turns != self.turns;
        self.looks_without_progress = if took_work || polls != self.polls {
            0
        } else {
            self.looks_without_progress.saturating_add(1)
        };
        (self.polls, self.turns) = (polls, turns);
        if took_work {
            self.last_turn = now;
        }
        if !was_led {
            if !shared.leader.wake_one() {
                self.lead();
            }
        } else if !took_work && shared.queue.has_work(now) && shared.leader.wake_again() {
            shared.poller.wake();
        }
        self.shed_deferred(now);
        let stuck_for = now.saturating_duration_since(self.last_turn);
        if now >= self.next_shed
            && !shared.queue.is_empty()
            && stuck_for > shared.config.load().overload.deadline
        {
            self.shed(now);
        }
    }

    /// Polls in the place of the workers, which are all busy. Each poll returns at once; after some
    /// polls in vain it waits on epoll for an event or a deadline.
    fn lead(&mut self) {
        let shared = Arc::clone(&self.shared);
        shared.take_sockets_back();
        let now = Instant::now();
        if !shared.leader.try_lead_as_monitor() {
            return;
        }
        let lead = Lead(&shared.leader);
        // While the server drains, idle connections are closed without an event. A drain that
        // begins later ends the poll.
        let waits =
            self.polls_in_vain >= POLLS_IN_VAIN && shared.queue.is_idle() && !shared.is_draining();
        let timeout = if waits { self.until_due(now) } else { Some(Duration::ZERO) };
        let mut found = Vec::new();
        // Urgent connections have a queue of their own, and epoll cannot tell them apart: so the
        // monitor polls although the other queue is full.
        let room = shared.queue.room();
        let most = if room == 0 { BATCH } else { room };
        let result = shared.poller.wait(most, timeout, |ready| match ready {
            Ready::Connection(connection) => found.push(connection),
            // The sockets were lent to a leading worker, and there is none.
            Ready::DatagramSocket(_) => shared.take_sockets_back(),
        });
        drop(lead);
        if let Err(error) = result {
            log::error!("epoll_wait failed: {error}");
        }
        self.polls_in_vain =
            if found.is_empty() { self.polls_in_vain.saturating_add(1) } else { 0 };
        let now = Instant::now();
        // Where requests are short, the workers will soon have room for the others.
        let postpones = room == 0 && shared.queue.controller.serving_is_cheap();
        for connection in found {
            if postpones && !connection.urgent {
                shared.postpone(connection, now);
                continue;
            }
            let protocol = self.protocols.of(connection.protocol);
            shared.enqueue_or_refuse(Work::of(connection), now, protocol);
            shared.wake_worker();
        }
    }

    /// Refuses deferred work and handshakes that can no longer be done in time.
    fn shed_deferred(&mut self, now: Instant) {
        while let Some(queued) = self.shared.queue.take_overdue(now) {
            self.refuse_queued(queued, Refusal::Deadline, now);
        }
    }

    fn refuse_queued(&mut self, queued: QueuedWork, refusal: Refusal, now: Instant) {
        let shared = Arc::clone(&self.shared);
        // The verdict is known; the call counts the work as taken.
        let _ = shared.queue.check_wait(&queued, now);
        match queued.work {
            Work::Connection(connection) => {
                let protocol = self.protocols.of(connection.protocol);
                shared.refuse(protocol, connection, refusal, now);
            }
            // Its request was admitted before, so that it is not refused now.
            Work::Continuation(connection) => shared.postpone(connection, now),
            Work::Datagram(datagram) => shared.drop_datagram(datagram, refusal, now),
        }
    }

    /// Refuses queued work while every worker has been in one handler for longer than the deadline:
    /// what has waited as long could only be served too late. Later work stays in the queue.
    fn shed(&mut self, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let deadline = shared.config.load().overload.deadline;
        let oldest =
            shared.queue.shed(now, |queued, refusal| self.refuse_queued(queued, refusal, now));
        // A look costs time in proportion to the queue: a few within a deadline are enough.
        self.next_shed = later(oldest, deadline).max(later(now, deadline / 16));
    }
}
