//! [`RefusalBudget`]: how much CPU time refusing may take.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How far ahead of its share refusing may run, in time of all cores together: what a burst costs.
const BURST: Duration = Duration::from_millis(10);

/// A token bucket of CPU time (GCRA, as in ITU-T I.371, with a cost instead of a cell).
///
/// A refusal costs 20 to 50 µs of CPU time, so that enough of them take the CPU from the workers. Past
/// the share set by [`refuse_budget`](crate::config::Overload::refuse_budget) accepting pauses, and
/// the kernel's backlog holds what comes: nowhere is it cheaper to wait, or to be turned away.
#[derive(Debug)]
pub(crate) struct RefusalBudget {
    epoch: Instant,
    cores: f64,
    /// Nanoseconds of wall time that a nanosecond of refusing uses up, as the bits of an `f64`.
    price: AtomicU64,
    /// When all that was charged is paid for, in nanoseconds since the epoch.
    paid: AtomicU64,
}

impl RefusalBudget {
    /// `share` of the time of `cores` cores may go to refusing.
    pub(crate) fn new(share: f64, cores: usize, epoch: Instant) -> Self {
        let cores = cores.max(1) as f64;
        let budget = Self { epoch, cores, price: AtomicU64::new(0), paid: AtomicU64::new(0) };
        budget.set_share(share);
        budget
    }

    pub(crate) fn set_share(&self, share: f64) {
        self.price.store((1.0 / (share * self.cores)).to_bits(), Relaxed);
    }

    /// A refusal, or several, took `cost` of CPU time.
    pub(crate) fn charge(&self, now: Instant, cost: Duration) {
        let now = self.nanos(now);
        let cost = (cost.as_nanos() as f64 * f64::from_bits(self.price.load(Relaxed))) as u64;
        // A race between two threads loses one charge of a few microseconds.
        self.paid.store(self.paid.load(Relaxed).max(now).saturating_add(cost), Relaxed);
    }

    /// `None` if refusing may go on, otherwise how long to accept nothing.
    pub(crate) fn allowed(&self, now: Instant) -> Option<Duration> {
        let debt = self.paid.load(Relaxed).saturating_sub(self.nanos(now));
        let over = Duration::from_nanos(debt).checked_sub(BURST)?;
        // Half of the burst is won back before accepting goes on, so that it does not stutter.
        (!over.is_zero()).then(|| over + BURST / 2)
    }

    fn nanos(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Duration = Duration::from_micros(40);

    #[test]
    fn over_a_second_refusing_takes_its_share() {
        for (share, cores) in [(0.1, 2), (0.25, 2), (0.25, 64), (1.0, 1)] {
            let epoch = Instant::now();
            let budget = RefusalBudget::new(share, cores, epoch);
            let (mut now, mut refusals) = (epoch, 0_u32);
            while now < epoch + Duration::from_secs(1) {
                match budget.allowed(now) {
                    Some(pause) => now += pause,
                    None => {
                        budget.charge(now, COST);
                        refusals += 1;
                    }
                }
            }
            let took = f64::from(refusals) * COST.as_secs_f64();
            let may = share * cores as f64;
            assert!((0.98..=1.03).contains(&(took / may)), "{share} of {cores}: {took} s");
        }
    }

    #[test]
    fn a_burst_after_silence_is_free_but_silence_is_not_saved_up() {
        let epoch = Instant::now();
        let budget = RefusalBudget::new(0.25, 2, epoch);
        let now = epoch + Duration::from_secs(3600);
        budget.charge(now, BURST / 2);
        assert_eq!(budget.allowed(now), None);
        budget.charge(now, COST);
        assert!(budget.allowed(now).is_some());
        assert_eq!(budget.allowed(now + BURST), None);
    }
}
