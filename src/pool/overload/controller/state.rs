//! [`Controller`]: what it is made of.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::config::Overload;
use crate::pool::overload::fairness::{Bucket, ClientKey, Fairness, HeldConnections, Tick};
use crate::pool::overload::interval::Interval;
use crate::pool::overload::service_estimate::ServiceEstimate;

/// Decides what is kept and what is refused. All threads share it; see the module.
#[derive(Debug)]
pub(crate) struct Controller {
    pub(super) settings: Settings,
    epoch: Instant,
    pub(super) fairness: Fairness,
    /// The wall time of a service.
    pub(super) service: ServiceEstimate,
    /// The CPU time of a service.
    pub(super) computing: ServiceEstimate,
    /// The wall time of the expensive part of a TLS handshake.
    pub(super) handshake: ServiceEstimate,
    pub(super) interval: Interval,
    pub(super) learned: Learned,
}

/// The settings, times in nanoseconds. What is atomic can be changed while the server runs.
#[derive(Debug)]
pub(super) struct Settings {
    shed: AtomicBool,
    fairness: AtomicBool,
    pub(super) target: AtomicU64,
    pub(super) interval: AtomicU64,
    pub(super) deadline: AtomicU64,
    pub(super) workers: f64,
    pub(super) cores: f64,
    pub(super) capacity: usize,
}

/// What the last interval has taught: written once an interval, read by every thread. It has cache
/// lines of its own, as a counter beside it would evict them from every reader's cache.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Learned {
    /// The wait allowed while overloaded, in nanoseconds; `u64::MAX` otherwise.
    pub(super) wait_limit: AtomicU64,
    /// In a flood, the wait past which work that was taken is refused, in nanoseconds; `u64::MAX`
    /// otherwise.
    pub(super) stale_after: AtomicU64,
    /// When the flood was noticed, in nanoseconds since the epoch.
    pub(super) flood_noticed: AtomicU64,
    /// The time between two pieces of work leaving the queue, measured while the workers always had
    /// work. Nanoseconds as the bits of an `f64`; zero: not measured.
    pub(super) departure_gap: AtomicU64,
    /// The load over the last intervals: what was offered over what could have been done. The bits
    /// of an `f64`.
    pub(super) load: AtomicU64,
    /// When a request was last let through although the estimate predicts that it will be late, in
    /// nanoseconds since the epoch.
    pub(super) probed: AtomicU64,
}

impl Controller {
    /// A controller for `workers` workers behind a queue of `capacity`. Times are kept as distances
    /// from `epoch`, which must not be later than any instant passed in afterwards.
    pub(crate) fn new(config: &Overload, workers: usize, capacity: usize, epoch: Instant) -> Self {
        let settings = Settings {
            shed: AtomicBool::new(config.shed),
            fairness: AtomicBool::new(config.fairness),
            target: AtomicU64::new(nanos(config.target)),
            interval: AtomicU64::new(nanos(config.interval)),
            deadline: AtomicU64::new(nanos(config.deadline)),
            workers: workers.max(1) as f64,
            cores: workers.max(1) as f64,
            capacity,
        };
        let learned = Learned {
            wait_limit: AtomicU64::new(u64::MAX),
            stale_after: AtomicU64::new(u64::MAX),
            flood_noticed: AtomicU64::new(0),
            departure_gap: AtomicU64::new(0),
            load: AtomicU64::new(0),
            probed: AtomicU64::new(0),
        };
        Self {
            settings,
            epoch,
            fairness: Fairness::new(),
            service: ServiceEstimate::default(),
            computing: ServiceEstimate::default(),
            handshake: ServiceEstimate::default(),
            interval: Interval::default(),
            learned,
        }
    }

    /// Limits the capacity to what `cores` cores can compute, however many workers share them.
    pub(crate) fn with_cores(mut self, cores: usize) -> Self {
        self.settings.cores = self.settings.workers.min(cores.max(1) as f64);
        self
    }

    /// Applies other settings. What was learned of the load stays.
    pub(crate) fn reconfigure(&self, config: &Overload) {
        let settings = &self.settings;
        settings.shed.store(config.shed, Relaxed);
        settings.fairness.store(config.fairness, Relaxed);
        settings.target.store(nanos(config.target), Relaxed);
        settings.interval.store(nanos(config.interval), Relaxed);
        settings.deadline.store(nanos(config.deadline), Relaxed);
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.settings.workers as usize
    }

    /// The count of each client's open connections, for the table of connections.
    pub(crate) fn held_connections(&self) -> HeldConnections {
        self.fairness.held.clone()
    }

    /// The bucket of a client, to be kept with its work.
    pub(crate) fn bucket(&self, key: ClientKey) -> Bucket {
        self.fairness.bucket(key)
    }

    pub(super) fn sheds(&self) -> bool {
        self.settings.shed.load(Relaxed)
    }

    pub(super) fn is_fair(&self) -> bool {
        self.settings.fairness.load(Relaxed)
    }

    pub(super) fn tick(&self, now: Instant) -> Tick {
        Tick::at(now.saturating_duration_since(self.epoch))
    }

    pub(super) fn since_epoch(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
