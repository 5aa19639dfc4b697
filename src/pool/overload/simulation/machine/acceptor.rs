//! What the acceptor does, as in `acceptor.rs`, with one listener and a table that is never full.

use std::time::Instant;

use super::{Machine, Step};
use crate::pool::arrivals::Arrivals;
use crate::pool::overload::refusal_budget::Allowance;

/// As there.
const ROUND: usize = 64;
const SHORT_BACKLOG: usize = 64;
const SHORT_FOR: u64 = 1_000_000_000;
const BLOCKED: u64 = 200_000;

#[derive(Debug, Default)]
pub(super) struct Acceptor {
    /// What is known of the backlog.
    arrivals: Option<Arrivals>,
    short_until: Option<u64>,
    refuses: bool,
    /// When it last began to poll.
    polled: u64,
    /// Of this round.
    overloaded: bool,
    accepted: usize,
    pushed: usize,
}

impl Machine {
    /// How long the kernel's backlog may be.
    pub(super) fn backlog_limit(&self) -> usize {
        match self.acceptor.short_until {
            Some(_) => SHORT_BACKLOG,
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

    /// A connection has come into the backlog.
    pub(super) fn wake_acceptor(&mut self) {
        let acceptor = self.acceptor();
        if self.threads[acceptor].step == Step::Waiting {
            self.run_for(acceptor, self.setup.costs.wake, Step::Round);
        }
    }

    pub(super) fn poll(&mut self) {
        let acceptor = self.acceptor();
        let around = self.setup.around;
        self.acceptor.polled = self.now;
        let pause = match self.budget.allowance(self.instant()) {
            Allowance::Pause(pause) => Some(pause),
            _ => None,
        };
        self.fit_backlog(pause.is_some());
        if let Some(pause) = pause {
            self.sleep(acceptor, (pause.as_nanos() as u64).max(1), Step::Poll);
        } else if self.queue.is_full_of_cheap_work() {
            self.sleep(acceptor, self.tick, Step::Poll);
        } else if around.together && self.acceptor.refuses && self.queue.controller.is_overloaded()
        {
            self.sleep(acceptor, self.tick, Step::Woken);
        } else if self.backlog.is_empty() {
            self.threads[acceptor].step = Step::Waiting;
        } else {
            self.run_for(acceptor, self.setup.costs.look, Step::Round);
        }
    }

    fn fit_backlog(&mut self, over_budget: bool) {
        let before = self.backlog_limit();
        let until = &mut self.acceptor.short_until;
        if over_budget && self.setup.around.short_backlog {
            *until = Some(self.now + SHORT_FOR);
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
        let together = self.acceptor.refuses && self.setup.around.together;
        if !together && self.now - self.acceptor.polled > BLOCKED {
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
            && self.setup.around.thread_time;
        if self.acceptor.accepted >= ROUND || paused || self.queue.is_full_of_cheap_work() {
            self.end_round();
        } else if self.backlog.is_empty() {
            let now = self.instant();
            self.arrivals().emptied(now);
            self.end_round();
        } else {
            self.run_for(self.acceptor(), self.setup.costs.accept, Step::Accepted);
        }
    }

    pub(super) fn accepted(&mut self) {
        let Some(connection) = self.backlog.pop_front() else { return self.end_round() };
        self.acceptor.accepted += 1;
        let counted = self.setup.around.counts_backlog;
        let now = self.instant();
        let arrived = self.arrivals().accepted(now);
        let arrived = if counted { self.since_epoch(arrived) } else { self.now };
        if let Err(reason) = self.push(connection, arrived, self.now) {
            self.refuse(self.acceptor(), (connection, reason), self.now, Step::Accept);
            return;
        }
        self.acceptor.pushed += 1;
        if !self.setup.around.together {
            self.call();
        }
        self.accept();
    }

    fn end_round(&mut self) {
        let (accepted, pushed) = (self.acceptor.accepted, self.acceptor.pushed);
        let refused = accepted - pushed;
        self.acceptor.refuses = refused > pushed;
        if self.setup.around.together {
            (0..pushed).for_each(|_| self.call());
        }
        if self.acceptor.overloaded && refused > 0 {
            let cost = self.setup.costs.accept * refused as u64;
            self.budget.charge_accepting(self.instant(), cost);
        }
        self.poll();
    }
}
