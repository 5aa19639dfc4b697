//! [`Arrivals`]: since when a connection may have waited in the kernel's backlog. The kernel does
//! not report that.

use std::collections::VecDeque;
use std::time::Instant;

/// How many times of accepting are remembered at most.
const REMEMBERED: usize = 4096;

/// What is known about one listener's backlog.
///
/// There are two bounds on the time of arrival. A connection arrived after the backlog was last
/// seen empty. And a backlog of *n* has room for *n* + 1 connections (listen(2)), so a connection
/// arrived after the one that was accepted that many before it. The second bound also applies under
/// a load that never lets the backlog become empty.
#[derive(Debug)]
pub(crate) struct Arrivals {
    emptied: Instant,
    /// When each of the last connections was accepted.
    accepted: VecDeque<Instant>,
    /// The length of the backlog.
    backlog: usize,
    /// Its length before the last change, until that many connections were accepted since.
    old_backlog: usize,
    since_changed: usize,
}

impl Arrivals {
    /// For a listener that begins to listen at `now`.
    pub(crate) fn new(now: Instant, backlog: u32) -> Self {
        let (accepted, backlog) = (VecDeque::new(), backlog as usize);
        Self { emptied: now, accepted, backlog, old_backlog: backlog, since_changed: 0 }
    }

    /// The backlog was empty at `now`.
    pub(crate) fn emptied(&mut self, now: Instant) {
        self.emptied = now;
    }

    /// Changes the length of the backlog. Connections that it already has stay in it.
    pub(crate) fn set_backlog(&mut self, backlog: u32) {
        (self.old_backlog, self.backlog) = (self.backlog.max(self.old_backlog), backlog as usize);
        self.since_changed = 0;
    }

    /// Records that a connection was accepted at `now`. Returns the earliest time at which it can
    /// have arrived.
    pub(crate) fn accepted(&mut self, now: Instant) -> Instant {
        self.since_changed = self.since_changed.saturating_add(1);
        if self.since_changed > self.old_backlog + 1 {
            self.old_backlog = self.backlog;
        }
        let before = self.old_backlog.max(self.backlog).saturating_add(2);
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
    fn a_connection_arrived_after_the_backlog_was_empty() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start, 1024);
        let later = start + Duration::from_secs(5);
        assert_eq!(arrivals.accepted(later), start);
        arrivals.emptied(later);
        assert_eq!(arrivals.accepted(later + Duration::from_millis(3)), later);
    }

    #[test]
    fn a_backlog_that_is_never_empty_bounds_the_wait_by_its_length() {
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
    fn a_longer_backlog_counts_until_its_connections_were_accepted() {
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
