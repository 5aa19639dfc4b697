//! What the monitor does, as in `monitor.rs`, but that it never sleeps.

use std::collections::VecDeque;

use super::{Lead, Machine, Step};
use crate::pool::overload::refusal::Refusal;
use crate::pool::poller::BATCH;

#[derive(Debug, Default)]
pub(super) struct Monitor {
    looks: u64,
    turns: u64,
    /// When the workers were last seen to take something.
    moved: u64,
    shed_next: u64,
    /// What is to be turned away in this look.
    shed: VecDeque<(usize, Refusal)>,
}

impl Machine {
    fn monitor(&self) -> usize {
        self.setup.workers + 1
    }

    pub(super) fn rest_monitor(&mut self) {
        self.sleep(self.monitor(), self.tick, Step::Tick);
    }

    /// Looks after the others, once a tick.
    pub(super) fn watch(&mut self) {
        self.queue.controller.refresh(self.instant(), self.queue.len());
        let was_led = self.looks != self.monitor.looks || self.lead != Lead::Nobody;
        let moved = self.turns != self.monitor.turns;
        (self.monitor.looks, self.monitor.turns) = (self.looks, self.turns);
        if moved {
            self.monitor.moved = self.now;
        }
        let monitor = self.monitor();
        self.threads[monitor].batch = self.now;
        let mut found = Vec::new();
        if !was_led {
            if !self.wake_one() {
                let room = self.queue.room().min(BATCH).min(self.ready.len());
                found.extend(self.ready.drain(..room));
                self.looks += 1;
            }
        } else if !moved && !self.queue.is_empty() {
            self.call();
        }
        self.threads[monitor].rest.extend(found);
        self.shed_deferred();
        self.shed_stuck();
        self.turn_away();
    }

    /// Work that was put aside for others and can no longer be done in time.
    fn shed_deferred(&mut self) {
        let now = self.instant();
        while let Some(ticket) = self.queue.take_overdue(now) {
            let _ = self.queue.check_wait(&ticket, now);
            self.monitor.shed.push_back((ticket.work.connection, Refusal::Deadline));
        }
    }

    /// Every worker has been in the same handler for longer than a request may take.
    fn shed_stuck(&mut self) {
        let deadline = self.config.overload.deadline.as_nanos() as u64;
        let stuck = self.now - self.monitor.moved > deadline;
        if !stuck || self.now < self.monitor.shed_next || self.queue.is_empty() {
            return;
        }
        let now = self.instant();
        let mut oldest = now;
        for _ in 0..self.queue.len_of(false) {
            let Some(ticket) = self.queue.take_from(false) else { break };
            let (ticket, reason) = if self.queue.is_overdue(&ticket, now) {
                (ticket, Refusal::Deadline)
            } else {
                oldest = oldest.min(ticket.entered);
                let Err(ticket) = self.queue.put_back(ticket) else { continue };
                (ticket, Refusal::QueueFull)
            };
            let _ = self.queue.check_wait(&ticket, now);
            self.monitor.shed.push_back((ticket.work.connection, reason));
        }
        let oldest = oldest.saturating_duration_since(self.epoch).as_nanos() as u64;
        self.monitor.shed_next = (oldest + deadline).max(self.now + deadline / 16);
    }

    /// Turns away what was found, and then goes on with what is new.
    pub(super) fn turn_away(&mut self) {
        let monitor = self.monitor();
        match self.monitor.shed.pop_front() {
            Some(connection) => {
                let began = self.threads[monitor].batch;
                self.refuse(monitor, connection, began, Step::TurnAway);
            }
            None => self.enqueue_or_refuse(monitor),
        }
    }
}
