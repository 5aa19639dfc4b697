//! [`WatchdogCheck`]: whether the server makes progress, which the watchdog is notified of.

use std::time::{Duration, Instant};

/// Compares the counters of the server from one check to the next. The watchdog of the service
/// manager restarts a server that fails it.
#[derive(Debug, Default)]
pub(super) struct WatchdogCheck {
    /// The number of finished requests at the last check, if the queue had any work then.
    done_with_work_queued: Option<u64>,
    /// The number of the acceptor's rounds at the last check. Each check wakes the acceptor.
    rounds: Option<u64>,
}

impl WatchdogCheck {
    /// What makes no progress, if anything does not. The queue fails if it had work at both checks
    /// and none was done in between; the acceptor fails if it made no round in between.
    pub(super) fn failure(&mut self, queued: usize, done: u64, rounds: u64) -> Option<String> {
        let queue_stuck = queued > 0 && self.done_with_work_queued == Some(done);
        self.done_with_work_queued = (queued > 0).then_some(done);
        let acceptor_stuck = self.rounds.replace(rounds) == Some(rounds);
        match (queue_stuck, acceptor_stuck) {
            (true, _) => Some(format!("{queued} requests wait, and none was served")),
            (_, true) => Some("the acceptor does not respond".to_owned()),
            (false, false) => None,
        }
    }
}

/// A timer that is due once in each period.
pub(super) struct PeriodicTimer {
    period: Duration,
    next: Instant,
}

impl PeriodicTimer {
    pub(super) fn new(period: Duration) -> Self {
        Self { period, next: Instant::now() + period }
    }

    /// The time until it is due.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Whether it is due. If so, it is due again a full period from now.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + self.period;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_fails_only_if_work_waits_and_none_is_done() {
        let mut check = WatchdogCheck::default();
        let table =
            [(0, 0, true), (5, 0, true), (5, 0, false), (5, 1, true), (0, 1, true), (3, 1, true)];
        for ((queued, done, progress), rounds) in table.into_iter().zip(1..) {
            let failure = check.failure(queued, done, rounds);
            assert_eq!(failure.is_none(), progress, "{queued} {done}");
        }
    }

    #[test]
    fn the_check_fails_if_the_acceptor_makes_no_round() {
        let mut check = WatchdogCheck::default();
        for (rounds, progress) in [(0, true), (0, false), (1, true), (2, true), (2, false)] {
            assert_eq!(check.failure(0, 0, rounds).is_none(), progress, "{rounds}");
        }
    }

    #[test]
    fn a_timer_is_due_once_a_period() {
        let mut timer = PeriodicTimer::new(Duration::from_secs(10));
        let start = timer.next - timer.period;
        assert!(!timer.is_due(start + Duration::from_secs(9)));
        assert!(timer.is_due(start + Duration::from_secs(11)));
        assert!(!timer.is_due(start + Duration::from_secs(12)));
    }
}
