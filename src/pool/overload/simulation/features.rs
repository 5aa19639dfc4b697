//! What things cost, and what millpond does in addition to the controller. Each feature can be
//! switched off, which shows what it gains.

use std::time::{Duration, Instant};

use crate::config::Overload;
use crate::pool::connection::HOLD;
use crate::pool::overload::refusal_budget::{Allowance, BURST, RefusalBudget};

/// What things cost in CPU time, in nanoseconds: rounded from measurements on the machines that the
/// project uses. A refused connection costs about 50 µs if the acceptor is woken for each, and half
/// of that if it accepts many together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    pub(super) accept: u64,
    pub(super) refuse: u64,
    pub(super) reset: u64,
    /// To wake a thread.
    pub(super) wake: u64,
    /// A poll of the listeners or of epoll that returns at once.
    pub(super) look: u64,
    /// To find out which client sends a request over a connection of a proxy.
    pub(super) identify: u64,
    /// To serve a request, without the CPU time of its handler.
    pub(super) serve: u64,
}

impl Costs {
    pub(super) const MEASURED: Self = Self {
        accept: 10_000,
        refuse: 20_000,
        reset: 8_000,
        wake: 10_000,
        look: 2_000,
        identify: 2_000,
        serve: 25_000,
    };

    /// In version 0.1.0 a refused connection cost about 65 µs: closing it woke the main thread.
    pub(super) const MEASURED_0_1_0: Self = Self { refuse: 45_000, ..Self::MEASURED };
}

/// What millpond does in addition to the controller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Features {
    /// Workers have a lower priority than the threads that accept (nice).
    pub(super) nice_workers: bool,
    /// The budget is charged the CPU time of each refusal, the debt is bounded, and past half of it
    /// refusals become resets. Otherwise it is charged the wall time since the batch began, without
    /// a bound.
    pub(super) thread_time: bool,
    /// The wait in the backlog is a part of the wait in the queue.
    pub(super) counts_backlog: bool,
    /// The backlog is short while accepting pauses.
    pub(super) short_backlog: bool,
    /// The controller knows the number of cores, and the CPU time of services.
    pub(super) knows_cores: bool,
    /// During an overload, many connections are accepted together.
    pub(super) together: bool,
    /// Each client gets a fair part of the workers.
    pub(super) fair_workers: bool,
    /// The time in which a worker waits for a client is not part of the service time.
    pub(super) client_time: bool,
    /// A worker leaves a pipeline after the number of requests in the settings; otherwise after 32.
    pub(super) leaves_pipelines: bool,
    /// A request that comes through a trusted proxy counts for its client. Otherwise it counts for
    /// the proxy.
    pub(super) identifies: bool,
}

impl Features {
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
        identifies: true,
    };

    /// The features of version 0.1.0.
    pub(super) const V0_1_0: Self = Self {
        nice_workers: false,
        thread_time: false,
        counts_backlog: false,
        short_backlog: false,
        knows_cores: false,
        together: false,
        fair_workers: false,
        client_time: false,
        leaves_pipelines: false,
        identifies: false,
    };

    /// The share of the CPU that refusing may take: the present default, or that of version 0.1.0.
    pub(super) fn share(&self, config: &Overload) -> f64 {
        if self.thread_time { config.refuse_budget } else { 0.25 }
    }
}

/// The budget for refusals: the present one, or that of version 0.1.0.
#[derive(Debug)]
pub(super) enum SimulatedBudget {
    Today(RefusalBudget),
    First(FirstBudget),
}

/// The budget of version 0.1.0: wall time, and a debt without a bound that is paid in one pause.
#[derive(Debug)]
pub(super) struct FirstBudget {
    price: f64,
    paid: Instant,
}

impl SimulatedBudget {
    pub(super) fn new(features: &Features, share: f64, cores: usize, epoch: Instant) -> Self {
        if features.thread_time {
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

    /// How long the refusal of a proxy's connection is delayed.
    pub(super) fn delay(&self, now: Instant) -> u64 {
        match self {
            Self::Today(budget) => budget.delay(now, HOLD).as_nanos() as u64,
            Self::First(_) => 0,
        }
    }

    /// Whether a refusal has to be a reset.
    pub(super) fn resets(&self, now: Instant) -> bool {
        match self {
            Self::Today(budget) => budget.allowance(now) != Allowance::Response,
            Self::First(_) => false,
        }
    }

    /// Charges a refusal that took `cost` of CPU time, and was done `wall` after its batch began.
    pub(super) fn charge(&mut self, now: Instant, cost: u64, wall: u64) {
        match self {
            Self::Today(budget) => budget.charge(now, Duration::from_nanos(cost)),
            Self::First(budget) => {
                let cost = Duration::from_nanos(wall).mul_f64(budget.price);
                budget.paid = budget.paid.max(now) + cost;
            }
        }
    }

    /// Charges the `cost` of accepting connections that were then refused. The budget of version
    /// 0.1.0 ignored it.
    pub(super) fn charge_accepting(&mut self, now: Instant, cost: u64) {
        if let Self::Today(budget) = self {
            budget.charge(now, Duration::from_nanos(cost));
        }
    }
}
