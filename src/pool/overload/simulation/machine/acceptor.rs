//! The acceptor, as in `acceptor.rs` of the pool, with one listener and no limit on connections.

use std::time::Instant;

use super::state::Machine;
use super::threads::ThreadStep;
use crate::pool::acceptor::{POLL_WAITED, ROUND};
use crate::pool::arrivals::Arrivals;
use crate::pool::overload::refusal_budget::Allowance;
use crate::pool::short_backlog::{SHORT_BACKLOG, SHORT_FOR};

impl Machine {
    /// The length of the kernel's backlog.
    pub(super) fn backlog_limit(&self) -> usize {
        match self.acceptor.short_until {
            Some(_) => SHORT_BACKLOG as usize,
            None => self.config.pool.backlog as usize,
        }
    }

    fn arrivals(&mut self) -> &mut Arrivals {
        let (epoch, backlog) = (self.epoch, self.config.pool.backlog);
        self.acceptor.arrivals.get_or_insert_with(|| Arrivals::new(epoch, backlog))
    }

    fn since_epoch(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_nanos() as u64
    }

    /// The acceptor's index among the threads.
    pub(super) fn acceptor(&self) -> usize {
        self.setup.workers
    }

    /// Wakes the acceptor for a connection that arrived in the backlog.
    pub(super) fn wake_acceptor(&mut self) {
        let acceptor = self.acceptor();
        if self.threads[acceptor].step == ThreadStep::Waiting {
            self.run_for(acceptor, self.setup.costs.wake, ThreadStep::Round);
        }
    }

    pub(super) fn poll(&mut self) {
        let acceptor = self.acceptor();
        let features = self.setup.features;
        self.acceptor.polled = self.now;
        let pause = match self.budget.allowance(self.instant()) {
            Allowance::Pause(pause) => Some(pause),
            _ => None,
        };
        self.fit_backlog(pause.is_some());
        if let Some(pause) = pause {
            self.sleep(acceptor, (pause.as_nanos() as u64).max(1), ThreadStep::Poll);
        } else if self.queue.is_full_of_cheap_work() {
            self.sleep(acceptor, self.tick, ThreadStep::Poll);
        } else if features.together
            && self.acceptor.refuses
            && self.queue.controller.is_overloaded()
        {
            self.sleep(acceptor, self.tick, ThreadStep::Woken);
        } else if self.backlog.is_empty() {
            self.threads[acceptor].step = ThreadStep::Waiting;
        } else {
            self.run_for(acceptor, self.setup.costs.look, ThreadStep::Round);
        }
    }

    fn fit_backlog(&mut self, over_budget: bool) {
        let before = self.backlog_limit();
        let until = &mut self.acceptor.short_until;
        if over_budget && self.setup.features.short_backlog {
            *until = Some(self.now + SHORT_FOR.as_nanos() as u64);
        } else if until.is_some_and(|until| self.now >= until) {
            *until = None;
        }
        let limit = self.backlog_limit();
        if limit != before {
            self.arrivals().set_backlog(limit as u32);
        }
    }

    /// Begins a round.
    pub(super) fn round(&mut self) {
        let together = self.acceptor.refuses && self.setup.features.together;
        if !together && self.now - self.acceptor.polled > POLL_WAITED.as_nanos() as u64 {
            let now = self.instant();
            self.arrivals().emptied(now);
        }
        self.acceptor.refuses = false;
        self.acceptor.overloaded = self.queue.controller.is_overloaded();
        (self.acceptor.accepted, self.acceptor.pushed) = (0, 0);
        self.accept();
    }

    pub(super) fn accept(&mut self) {
        let paused = matches!(self.budget.allowance(self.instant()), Allowance::Pause(_))
            && self.setup.features.thread_time;
        if self.acceptor.accepted >= ROUND || paused || self.queue.is_full_of_cheap_work() {
            self.end_round();
        } else if self.backlog.is_empty() {
            let now = self.instant();
            self.arrivals().emptied(now);
            self.end_round();
        } else {
            self.run_for(self.acceptor(), self.setup.costs.accept, ThreadStep::Accepted);
        }
    }

    pub(super) fn accepted(&mut self) {
        let Some(connection) = self.backlog.pop_front() else { return self.end_round() };
        self.acceptor.accepted += 1;
        let counted = self.setup.features.counts_backlog;
        let now = self.instant();
        let arrived = self.arrivals().accepted(now);
        let arrived = if counted { self.since_epoch(arrived) } else { self.now };
        if let Err(reason) = self.push(connection, arrived, self.now) {
            self.refuse(self.acceptor(), (connection, reason), self.now, ThreadStep::Accept);
            return;
        }
        self.acceptor.pushed += 1;
        if !self.setup.features.together {
            self.wake_worker();
        }
        self.accept();
    }

    fn end_round(&mut self) {
        let (accepted, pushed) = (self.acceptor.accepted, self.acceptor.pushed);
        let refused = accepted - pushed;
        self.acceptor.refuses = refused > pushed;
        if self.setup.features.together {
            (0..pushed).for_each(|_| self.wake_worker());
        }
        if self.acceptor.overloaded && refused > 0 {
            let cost = self.setup.costs.accept * refused as u64;
            self.budget.charge_accepting(self.instant(), cost);
        }
        self.poll();
    }
}
