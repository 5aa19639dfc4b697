//! [`RefusalBudget`]: how much CPU time refusing may take.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How far ahead of its share refusing may run, in time of all cores together: what a burst costs.
const BURST: Duration = Duration::from_millis(10);

/// The longest that accepting pauses at a time. A pause is a place where connections wait unseen,
/// so the acceptor looks again soon; and since no debt is longer than a burst and a pause, no fault
/// of charging can stop it for longer.
const PAUSE: Duration = Duration::from_millis(10);

/// A token bucket of CPU time (GCRA, as in ITU-T I.371, with a cost instead of a cell).
///
/// A refusal costs 15 to 50 µs of CPU time, so enough of them take the CPU from the workers. What
/// is charged is the CPU time of the refusing thread: wall time would charge a preempted thread for
/// the work of the thread that preempted it. Past the share set by
/// [`refuse_budget`](crate::config::Overload::refuse_budget) refusals become cheaper, then
/// accepting pauses and a short kernel backlog drops what it cannot hold.
#[derive(Debug)]
pub(crate) struct RefusalBudget {
    epoch: Instant,
    cores: f64,
    /// Nanoseconds of wall time that a nanosecond of refusing uses up, as the bits of an `f64`.
    price: AtomicU64,
    /// When all that was charged is paid for, in nanoseconds since the epoch.
    paid: AtomicU64,
    /// All that was charged, in nanoseconds of CPU time.
    spent: AtomicU64,
}

/// What the budget allows at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// A refusal may cost what a response costs.
    Response,
    /// Only the cheapest refusal: a reset.
    Reset,
    /// Nothing is to be accepted that would have to be refused, for so long.
    Pause(Duration),
}

impl RefusalBudget {
    /// `share` of the time of `cores` cores may go to refusing.
    pub(crate) fn new(share: f64, cores: usize, epoch: Instant) -> Self {
        let cores = cores.max(1) as f64;
        let zero = || AtomicU64::new(0);
        let budget = Self { epoch, cores, price: zero(), paid: zero(), spent: zero() };
        budget.set_share(share);
        budget
    }

    pub(crate) fn set_share(&self, share: f64) {
        self.price.store((1.0 / (share * self.cores)).to_bits(), Relaxed);
    }

    /// A refusal took `cost` of CPU time.
    pub(crate) fn charge(&self, now: Instant, cost: Duration) {
        let now = self.nanos(now);
        self.spent.fetch_add(cost.as_nanos() as u64, Relaxed);
        let cost = (cost.as_nanos() as f64 * f64::from_bits(self.price.load(Relaxed))) as u64;
        let most = now + (BURST + PAUSE).as_nanos() as u64;
        // A race between two threads loses one charge of a few microseconds.
        let paid = self.paid.load(Relaxed).max(now).saturating_add(cost).min(most);
        self.paid.store(paid, Relaxed);
    }

    /// All that was charged.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Relaxed))
    }

    /// What refusing may cost at `now`.
    pub(crate) fn allowance(&self, now: Instant) -> Allowance {
        let debt = Duration::from_nanos(self.paid.load(Relaxed).saturating_sub(self.nanos(now)));
        if debt > BURST {
            // Half of the burst is won back before accepting goes on, so that it does not stutter.
            Allowance::Pause((debt - BURST / 2).min(PAUSE))
        } else if debt > BURST / 2 {
            Allowance::Reset
        } else {
            Allowance::Response
        }
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
                match budget.allowance(now) {
                    Allowance::Pause(pause) => now += pause,
                    Allowance::Response | Allowance::Reset => {
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
        budget.charge(now, BURST / 4);
        assert_eq!(budget.allowance(now), Allowance::Response);
        budget.charge(now, COST);
        assert_eq!(budget.allowance(now), Allowance::Reset);
        budget.charge(now, BURST / 4);
        assert!(matches!(budget.allowance(now), Allowance::Pause(_)));
        assert_eq!(budget.allowance(now + BURST), Allowance::Response);
    }

    #[test]
    fn no_error_of_charging_stops_accepting_for_longer_than_a_few_tens_of_milliseconds() {
        let epoch = Instant::now();
        let budget = RefusalBudget::new(0.01, 1, epoch);
        for _ in 0..1000 {
            budget.charge(epoch, Duration::from_secs(10));
        }
        assert_eq!(budget.allowance(epoch), Allowance::Pause(PAUSE));
        assert_eq!(budget.allowance(epoch + BURST + PAUSE), Allowance::Response);
    }
}
