//! [`Arrivals`]: since when a connection can have waited in the kernel's backlog, which tells
//! nobody.

use std::collections::VecDeque;
use std::time::Instant;

/// How many times of accepting are remembered at the most.
const REMEMBERED: usize = 4096;

/// What is known of one listener's backlog.
///
/// Two bounds: a connection has come after the backlog was last seen to be empty; and a backlog of
/// *n* holds *n* + 1 connections (listen(2)), so that it has come after the one was accepted which
/// is so many before it. The second bound holds also under a load that never lets the backlog run
/// empty.
#[derive(Debug)]
pub(crate) struct Arrivals {
    emptied: Instant,
    /// When the last connections were accepted.
    accepted: VecDeque<Instant>,
    /// What the backlog holds.
    holds: usize,
    /// What it held before that was changed, until as many connections have been accepted since.
    held: usize,
    since_changed: usize,
}

impl Arrivals {
    /// Of a listener that begins to listen at `now`.
    pub(crate) fn new(now: Instant, backlog: u32) -> Self {
        let holds = backlog as usize;
        Self { emptied: now, accepted: VecDeque::new(), holds, held: holds, since_changed: 0 }
    }

    /// The backlog was empty at `now`.
    pub(crate) fn emptied(&mut self, now: Instant) {
        self.emptied = now;
    }

    /// The backlog holds so many from now on; what it holds already stays.
    pub(crate) fn set_backlog(&mut self, backlog: u32) {
        (self.held, self.holds) = (self.holds.max(self.held), backlog as usize);
        self.since_changed = 0;
    }

    /// A connection was accepted at `now`: the earliest moment at which it can have come.
    pub(crate) fn accepted(&mut self, now: Instant) -> Instant {
        self.since_changed = self.since_changed.saturating_add(1);
        if self.since_changed > self.held + 1 {
            self.held = self.holds;
        }
        let before = self.held.max(self.holds).saturating_add(2);
        while self.accepted.len() > before.min(REMEMBERED) {
            self.accepted.pop_front();
        }
        let since = self.accepted.len().checked_sub(before).map(|index| self.accepted[index]);
        self.accepted.push_back(now);
        since.map_or(self.emptied, |since| since.max(self.emptied)).min(now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_connection_has_come_since_the_backlog_was_empty() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start, 1024);
        let later = start + Duration::from_secs(5);
        assert_eq!(arrivals.accepted(later), start);
        arrivals.emptied(later);
        assert_eq!(arrivals.accepted(later + Duration::from_millis(3)), later);
    }

    #[test]
    fn a_backlog_that_never_runs_empty_bounds_the_wait_by_what_it_holds() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start, 64);
        let at = |n: u32| start + Duration::from_millis(1) * n;
        for n in 0..66 {
            assert_eq!(arrivals.accepted(at(n)), start, "{n}");
        }
        assert_eq!(arrivals.accepted(at(66)), at(0));
        assert_eq!(arrivals.accepted(at(67)), at(1));
    }

    #[test]
    fn what_a_longer_backlog_held_counts_until_it_was_accepted() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start, 100);
        let at = |n: u32| start + Duration::from_millis(1) * n;
        for n in 0..200 {
            arrivals.accepted(at(n));
        }
        arrivals.set_backlog(10);
        assert_eq!(arrivals.accepted(at(200)), at(98));
        for n in 201..301 {
            arrivals.accepted(at(n));
        }
        assert_eq!(arrivals.accepted(at(301)), at(289));
        arrivals.set_backlog(100);
        assert!(arrivals.accepted(at(302)) <= at(200));
    }
}
