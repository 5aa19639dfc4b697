//! [`RefusalBudget`]: how much CPU time refusing may take.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How far refusing may exceed its share for a moment, in wall time: the cost of a burst.
pub(crate) const BURST: Duration = Duration::from_millis(10);

/// The longest that accepting pauses at a time. During a pause connections wait in the backlog,
/// where their wait is neither measured nor limited, so the acceptor looks again soon. And since
/// the debt is at most a burst and a pause, no wrong charge can stop it for longer.
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// The part of the share for refusing requests that refusing handshakes has. Requests on
/// established connections go first, and the kernel drops a SYN at a much lower cost than accept
/// and reset.
const HANDSHAKE_PART: f64 = 0.25;

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A request, or a connection for want of a place for its first request.
    Request,
    /// A TLS handshake.
    Handshake,
}

/// A budget for each kind of refusal, so that a flood of handshakes stops no connection without
/// TLS.
#[derive(Debug)]
pub(crate) struct RefusalBudgets([RefusalBudget; 2]);

impl RefusalBudgets {
    /// Budgets of the time of `cores` cores: `share` of it for refusing requests.
    pub(crate) fn new(share: f64, cores: usize, epoch: Instant) -> Self {
        Self([share, share * HANDSHAKE_PART].map(|share| RefusalBudget::new(share, cores, epoch)))
    }

    /// Changes the share for refusing requests, and with it that for handshakes.
    pub(crate) fn set_share(&self, share: f64) {
        self.of(Refused::Request).set_share(share);
        self.of(Refused::Handshake).set_share(share * HANDSHAKE_PART);
    }

    pub(crate) fn of(&self, refused: Refused) -> &RefusalBudget {
        &self.0[refused as usize]
    }

    /// The CPU time of all refusals since the start.
    pub(crate) fn spent(&self) -> Duration {
        self.0.iter().map(RefusalBudget::spent).sum()
    }
}

/// A token bucket of CPU time (GCRA, as in ITU-T I.371, with a cost instead of a cell).
///
/// A refusal costs 15 to 50 µs of CPU time, so many of them take the CPU from the workers. What
/// is charged is the CPU time of the refusing thread. Wall time would charge a preempted thread for
/// the work of the thread that preempted it. Past the share set by
/// [`refuse_budget`](crate::config::Overload::refuse_budget) refusals become cheaper. Then
/// accepting pauses, and the kernel drops what its backlog, now short, has no room for.
#[derive(Debug)]
pub(crate) struct RefusalBudget {
    epoch: Instant,
    cores: f64,
    /// Nanoseconds of wall time that pay for a nanosecond of refusing, as the bits of an `f64`.
    price: AtomicU64,
    /// When all charges will be paid, in nanoseconds since the epoch.
    paid: AtomicU64,
    /// The CPU time of all refusals, in nanoseconds.
    spent: AtomicU64,
}

/// What the budget allows at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// A refusal may cost what a response costs.
    Response,
    /// Only the cheapest refusal: a reset.
    Reset,
    /// No refusal: accepting pauses for this long.
    Pause(Duration),
}

impl RefusalBudget {
    /// A budget of `share` of the time of `cores` cores.
    pub(crate) fn new(share: f64, cores: usize, epoch: Instant) -> Self {
        let cores = cores.max(1) as f64;
        let zero = || AtomicU64::new(0);
        let budget = Self { epoch, cores, price: zero(), paid: zero(), spent: zero() };
        budget.set_share(share);
        budget
    }

    /// Changes the share. What was charged before keeps its price.
    pub(crate) fn set_share(&self, share: f64) {
        self.price.store((1.0 / (share * self.cores)).to_bits(), Relaxed);
    }

    /// Charges a refusal that took `cost` of CPU time.
    pub(crate) fn charge(&self, now: Instant, cost: Duration) {
        let now = self.nanos(now);
        self.spent.fetch_add(cost.as_nanos() as u64, Relaxed);
        let cost = (cost.as_nanos() as f64 * f64::from_bits(self.price.load(Relaxed))) as u64;
        let most = now + (BURST + PAUSE_MAX).as_nanos() as u64;
        // Of two threads that charge at once, one may overwrite the charge of the other: a few
        // microseconds, which is not worth a loop.
        let paid = self.paid.load(Relaxed).max(now).saturating_add(cost).min(most);
        self.paid.store(paid, Relaxed);
    }

    /// The CPU time of all refusals.
    fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Relaxed))
    }

    /// What refusing may cost at `now`.
    pub(crate) fn allowance(&self, now: Instant) -> Allowance {
        let debt = self.debt(now);
        if debt > BURST {
            // Half of the burst is paid off before accepting goes on. Otherwise accepting would
            // pause again after the next refusal.
            Allowance::Pause((debt - BURST / 2).min(PAUSE_MAX))
        } else if debt > BURST / 2 {
            Allowance::Reset
        } else {
            Allowance::Response
        }
    }

    /// How long to delay a refusal that gets a response in any case: up to `longest`, in proportion
    /// to the debt past the half at which other refusals become cheaper. Clients that repeat their
    /// requests at each refusal are so delayed just enough to keep within the budget.
    pub(crate) fn delay(&self, now: Instant, longest: Duration) -> Duration {
        let over = self.debt(now).saturating_sub(BURST / 2);
        longest.mul_f64((over.as_secs_f64() / (BURST / 2).as_secs_f64()).min(1.0))
    }

    /// How long until all charges are paid.
    fn debt(&self, now: Instant) -> Duration {
        Duration::from_nanos(self.paid.load(Relaxed).saturating_sub(self.nanos(now)))
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
    fn handshakes_have_a_quarter_of_the_share_and_their_debt_stops_no_request() {
        let now = Instant::now();
        let budgets = RefusalBudgets::new(0.5, 1, now);
        let debt = |refused| budgets.of(refused).debt(now);
        for (share, request_ms, handshake_ms) in [(0.5, 2, 8), (0.25, 4, 16)] {
            let budgets = RefusalBudgets::new(0.5, 4, now);
            budgets.set_share(share / 4.0);
            for (refused, expected_ms) in
                [(Refused::Request, request_ms), (Refused::Handshake, handshake_ms)]
            {
                budgets.of(refused).charge(now, Duration::from_micros(100));
                let debt = budgets.of(refused).debt(now) * 10;
                assert_eq!(debt, Duration::from_millis(expected_ms), "{refused:?}");
            }
            assert_eq!(budgets.spent(), Duration::from_micros(200));
        }
        budgets.of(Refused::Handshake).charge(now, Duration::from_secs(1));
        assert!(matches!(budgets.of(Refused::Handshake).allowance(now), Allowance::Pause(_)));
        assert_eq!(debt(Refused::Request), Duration::ZERO);
    }

    #[test]
    fn a_refusal_is_delayed_by_the_debt_past_the_half() {
        let now = Instant::now();
        let longest = Duration::from_millis(100);
        for (debt_ms, expected_ms) in [(0, 0), (5, 0), (6, 20), (10, 100), (20, 100)] {
            let budget = RefusalBudget::new(1.0, 1, now);
            budget.charge(now, Duration::from_millis(debt_ms));
            let delay = budget.delay(now, longest).as_secs_f64() * 1e3;
            assert!((delay - f64::from(expected_ms)).abs() < 0.01, "{debt_ms}: {delay}");
        }
    }

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
    fn a_burst_after_a_pause_is_free_but_pauses_do_not_add_up() {
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
    fn no_wrong_charge_stops_accepting_for_longer_than_a_few_tens_of_milliseconds() {
        let epoch = Instant::now();
        let budget = RefusalBudget::new(0.01, 1, epoch);
        for _ in 0..1000 {
            budget.charge(epoch, Duration::from_secs(10));
        }
        assert_eq!(budget.allowance(epoch), Allowance::Pause(PAUSE_MAX));
        assert_eq!(budget.allowance(epoch + BURST + PAUSE_MAX), Allowance::Response);
    }
}
