//! The monitor, as in `monitor.rs` of the pool, except that it never stops checking.

use super::state::Machine;
use super::threads::ThreadStep;
use crate::pool::overload::refusal::Refusal;
use crate::pool::poller::BATCH;

impl Machine {
    fn monitor(&self) -> usize {
        self.setup.workers + 1
    }

    pub(super) fn rest_monitor(&mut self) {
        self.sleep(self.monitor(), self.tick, ThreadStep::Tick);
    }

    /// Looks after the other threads, once a tick.
    pub(super) fn watch(&mut self) {
        self.queue.controller.refresh(self.instant(), self.queue.len());
        let was_led = self.looks != self.monitor.looks || self.leader.is_some();
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
            self.wake_worker();
        }
        self.threads[monitor].rest.extend(found);
        self.shed_deferred();
        self.shed_stuck();
        self.turn_away();
    }

    /// Takes deferred work that can no longer be done in time.
    fn shed_deferred(&mut self) {
        let now = self.instant();
        while let Some(queued) = self.queue.take_overdue(now) {
            let _ = self.queue.check_wait(&queued, now);
            self.monitor.shed.push_back((queued.work.connection, Refusal::Deadline));
        }
    }

    /// Takes work that can only be late, if every worker has been in the same handler for longer
    /// than the deadline.
    fn shed_stuck(&mut self) {
        let deadline = self.config.overload.deadline.as_nanos() as u64;
        let stuck = self.now - self.monitor.moved > deadline;
        if !stuck || self.now < self.monitor.shed_next || self.queue.is_empty() {
            return;
        }
        let now = self.instant();
        let (queue, shed) = (&self.queue, &mut self.monitor.shed);
        let oldest = queue.shed(now, |queued, reason| {
            let _ = queue.check_wait(&queued, now);
            shed.push_back((queued.work.connection, reason));
        });
        let oldest = oldest.saturating_duration_since(self.epoch).as_nanos() as u64;
        self.monitor.shed_next = (oldest + deadline).max(self.now + deadline / 16);
    }

    /// Refuses the work that was found, and then enqueues new work.
    pub(super) fn turn_away(&mut self) {
        let monitor = self.monitor();
        match self.monitor.shed.pop_front() {
            Some(connection) => {
                let began = self.threads[monitor].batch;
                self.refuse(monitor, connection, began, ThreadStep::TurnAway);
            }
            None => self.enqueue_or_refuse(monitor),
        }
    }
}
