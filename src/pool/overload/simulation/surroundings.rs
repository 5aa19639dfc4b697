//! What the controller works in: what things cost, and what millpond does beside it. Each part can
//! be taken away, so that what it gains is known.

use std::time::{Duration, Instant};

use crate::config::Overload;
use crate::pool::overload::refusal_budget::{Allowance, RefusalBudget};

/// What things cost in CPU time, in nanoseconds: rounded from what was measured on the project's
/// kind of machine. A refused connection costs an acceptor that is woken for each about 50 µs, and
/// half of that one which accepts many together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    pub(super) accept: u64,
    pub(super) refuse: u64,
    pub(super) reset: u64,
    /// A thread that is woken, or wakes by itself.
    pub(super) wake: u64,
    /// A look at the listeners or at epoll that finds something at once.
    pub(super) look: u64,
    /// Serving a request, but for what its handler burns.
    pub(super) serve: u64,
}

impl Costs {
    pub(super) const MEASURED: Self = Self {
        accept: 10_000,
        refuse: 20_000,
        reset: 8_000,
        wake: 10_000,
        look: 2_000,
        serve: 25_000,
    };

    /// In 0.1.0 a refused connection cost about 65 µs: closing it woke the main thread.
    pub(super) const FIRST: Self = Self { refuse: 45_000, ..Self::MEASURED };
}

/// What millpond does beside the controller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings {
    /// Workers are nice to the threads that accept.
    pub(super) nice_workers: bool,
    /// Refusals are charged what they cost by themselves, the debt is bounded, and past half of it
    /// they become resets; else the wall time since their batch began, without a bound.
    pub(super) thread_time: bool,
    /// The wait in the backlog is a part of the wait in the queue.
    pub(super) counts_backlog: bool,
    /// The backlog is short while accepting pauses.
    pub(super) short_backlog: bool,
    /// The controller knows the cores, and what services cost them.
    pub(super) knows_cores: bool,
    /// Under overload connections are accepted together.
    pub(super) together: bool,
    /// Workers are shared out by client.
    pub(super) fair_workers: bool,
    /// A wait for the client is no service time.
    pub(super) client_time: bool,
    /// A pipeline is left after as many requests as the settings say; else after 32.
    pub(super) leaves_pipelines: bool,
}

impl Surroundings {
    pub(super) const TODAY: Self = Self {
        nice_workers: true,
        thread_time: true,
        counts_backlog: true,
        short_backlog: true,
        knows_cores: true,
        together: true,
        fair_workers: true,
        client_time: true,
        leaves_pipelines: true,
    };

    /// Those of millpond 0.1.0.
    pub(super) const FIRST: Self = Self {
        nice_workers: false,
        thread_time: false,
        counts_backlog: false,
        short_backlog: false,
        knows_cores: false,
        together: false,
        fair_workers: false,
        client_time: false,
        leaves_pipelines: false,
    };

    /// The share of the CPU that refusing may take: the default now, or that of 0.1.0.
    pub(super) fn share(&self, config: &Overload) -> f64 {
        if self.thread_time { config.refuse_budget } else { 0.25 }
    }
}

/// The budget for refusals, as it is or as it was.
#[derive(Debug)]
pub(super) enum Budget {
    Today(RefusalBudget),
    First(FirstBudget),
}

/// That of 0.1.0: wall time, and a debt without a bound that is paid in one pause.
#[derive(Debug)]
pub(super) struct FirstBudget {
    price: f64,
    paid: Instant,
}

/// What a burst may cost, as in [`RefusalBudget`].
const BURST: Duration = Duration::from_millis(10);

impl Budget {
    pub(super) fn new(around: &Surroundings, share: f64, cores: usize, epoch: Instant) -> Self {
        if around.thread_time {
            return Self::Today(RefusalBudget::new(share, cores, epoch));
        }
        Self::First(FirstBudget { price: 1.0 / (share * cores as f64), paid: epoch })
    }

    pub(super) fn allowance(&self, now: Instant) -> Allowance {
        match self {
            Self::Today(budget) => budget.allowance(now),
            Self::First(budget) => match budget.paid.saturating_duration_since(now) {
                debt if debt > BURST => Allowance::Pause(debt - BURST / 2),
                _ => Allowance::Response,
            },
        }
    }

    /// Whether a refusal has to be a reset.
    pub(super) fn resets(&self, now: Instant) -> bool {
        match self {
            Self::Today(budget) => budget.allowance(now) != Allowance::Response,
            Self::First(_) => false,
        }
    }

    /// A refusal took `cost` of CPU time, and was done `wall` after its batch began.
    pub(super) fn charge(&mut self, now: Instant, cost: u64, wall: u64) {
        match self {
            Self::Today(budget) => budget.charge(now, Duration::from_nanos(cost)),
            Self::First(budget) => {
                let cost = Duration::from_nanos(wall).mul_f64(budget.price);
                budget.paid = budget.paid.max(now) + cost;
            }
        }
    }

    /// Accepting what was then refused took `cost`: the first budget knew nothing of that.
    pub(super) fn charge_accepting(&mut self, now: Instant, cost: u64) {
        if let Self::Today(budget) = self {
            budget.charge(now, Duration::from_nanos(cost));
        }
    }
}
