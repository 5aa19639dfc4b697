//! [`ServerView`]: what a request may ask of the server that serves it.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::pool::cancel::{Cancel, CancelReason, CancelSlot, CancelSource, Watched};
use crate::pool::shared::Shared;
use crate::pool::stats::counters::STATUS_CLASSES;
use crate::pool::stats::load_meter::{LoadTotals, process_time};

/// How long before the end of a drain its requests are cancelled: a tenth of the drain's time, and
/// at most this.
const BEFORE_DRAINED: Duration = Duration::from_secs(1);

/// The running server, as its requests see it.
pub(crate) struct ServerView(Arc<Shared>);

impl ServerView {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// The time that a request may take: `overload.deadline`.
    pub(crate) fn time_limit(&self) -> Duration {
        self.0.config.load().overload.deadline
    }

    /// The work offered, as a multiple of what can be done.
    pub(crate) fn load(&self) -> f64 {
        self.0.queue.controller.offered_load()
    }

    pub(crate) fn is_overloaded(&self) -> bool {
        self.0.queue.controller.is_overloaded()
    }

    /// What the server does at present.
    pub(crate) fn load_report(&self) -> LoadReport {
        let shared = &self.0;
        let rates = shared.load_meter.rates(Instant::now(), || shared.load_totals());
        LoadReport {
            cpu_utilization: rates.cpu / num_cpus::get() as f64,
            application_utilization: rates.busy / shared.pool.workers as f64,
            served: rates.served,
            errors: rates.errors,
        }
    }

    /// When a drain ends what is still in progress; `None` if the server does not drain.
    pub(crate) fn drain_deadline(&self) -> Option<Instant> {
        self.0.drain_deadline()
    }

    /// Registers a request that is being served, in the slot of its worker, which is made at the
    /// first call.
    pub(crate) fn watch(
        &self,
        slot: &mut Option<Arc<CancelSlot>>,
        source: Weak<dyn CancelSource>,
        number: u64,
        (began, deadline): (Instant, Instant),
    ) -> Cancel {
        let shared = &self.0;
        let slot = slot.get_or_insert_with(|| shared.cancellations.slot());
        let cancel = shared.cancellations.cancel();
        let watched = Watched { cancel: cancel.clone(), deadline, began, source, number };
        let now = Instant::now();
        if shared.cancellations.register(slot, watched, now) {
            shared.wake_for_deadline();
        }
        // Looked at once it is registered: a stop that comes after this look finds it.
        if shared.draining_at().is_some_and(|at| at <= now) {
            cancel.set(CancelReason::Draining);
        } else if deadline <= now {
            cancel.set(CancelReason::DeadlinePassed);
        }
        cancel
    }
}

/// What the server does, over the last second or more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadReport {
    /// The CPU time of the process, as a fraction of that of all cores.
    pub(crate) cpu_utilization: f64,
    /// The time that workers spent serving, as a fraction of that of all workers.
    pub(crate) application_utilization: f64,
    /// Requests served in a second.
    pub(crate) served: f64,
    /// Responses in a second with a status of 5xx.
    pub(crate) errors: f64,
}

impl fmt::Debug for ServerView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Shared {
    fn load_totals(&self) -> LoadTotals {
        LoadTotals {
            served: self.counters.served(),
            errors: self.counters.responses()[STATUS_CLASSES - 1],
            busy: self.counters.durations().1.sum(),
            cpu: process_time(),
        }
    }

    /// When the requests that are still served are cancelled; `None` if the server does not drain.
    fn draining_at(&self) -> Option<Instant> {
        let deadline = self.drain_deadline()?;
        let whole = deadline.saturating_duration_since(self.draining_since());
        deadline.checked_sub((whole / 10).min(BEFORE_DRAINED))
    }

    /// Cancels the requests that are no longer wanted, if it is time to look for them.
    pub(super) fn cancel_unwanted(&self, now: Instant) {
        if self.cancellations.until_check(now).is_some_and(|left| left.is_zero()) {
            self.cancellations.check(now, self.draining_at());
        }
    }
}
