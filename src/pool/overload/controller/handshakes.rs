//! The decisions about TLS handshakes, which are a kind of work of their own.

use std::time::{Duration, Instant};

use super::decide::Verdict;
use super::state::{Controller, nanos};
use crate::pool::overload::fairness::Bucket;
use crate::pool::overload::refusal::Refusal;

/// What waits before a handshake, and how fast that is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandshakesAhead {
    /// Handshakes that wait.
    pub(crate) waiting: usize,
    /// How many of them are done at once.
    pub(crate) at_once: usize,
    /// While requests go first: the part of one worker's time that handshakes have, one in this
    /// many.
    pub(crate) trickle: u32,
    /// Requests that wait.
    pub(crate) requests: usize,
}

impl Controller {
    /// Decides about a handshake that is to wait behind others.
    ///
    /// While there is an overload, requests go before handshakes, and the predicted wait is that of
    /// the part of the time that handshakes have in any case. Nothing of this counts as load: a
    /// flood of handshakes must not make the server refuse requests.
    pub(crate) fn admit_handshake(
        &self,
        now: Instant,
        arrived: Instant,
        ahead: HandshakesAhead,
        bucket: Bucket,
    ) -> Verdict {
        if !self.sheds() {
            return Verdict::Keep;
        }
        let (each, requests) = match self.is_overloaded() {
            true => (self.handshake.mean() * f64::from(ahead.trickle), 0),
            false => (self.handshake.mean() / ahead.at_once.max(1) as f64, ahead.requests),
        };
        let wait = (ahead.waiting as f64 * each + requests as f64 * self.departure_gap()) as u64;
        let waited = nanos(now.saturating_duration_since(arrived));
        let most = self.burst_wait();
        let has_part = || {
            let room = (most as f64 / each.max(1.0)) as u64 + 1;
            self.fairness.handshakes.has_equal_part(bucket, room)
        };
        if waited.saturating_add(wait) > self.longest_wait().max(self.target()) {
            Verdict::Refuse(Refusal::Deadline)
        } else if wait > most {
            Verdict::Refuse(Refusal::WaitTooLong)
        } else if wait > self.target() && self.is_fair() && has_part() {
            Verdict::Refuse(Refusal::OverFairShare)
        } else {
            Verdict::Keep
        }
    }

    /// Decides about a handshake that a worker has taken, by the wait that it had.
    pub(crate) fn check_handshake(&self, waited: Duration) -> Verdict {
        match self.is_handshake_overdue(waited) {
            true => Verdict::Refuse(Refusal::Deadline),
            false => Verdict::Keep,
        }
    }

    /// Whether a handshake has waited so long that its client has hardly any of its patience left.
    pub(crate) fn is_handshake_overdue(&self, waited: Duration) -> bool {
        self.is_overdue(waited)
    }

    /// Whether handshakes would wait for longer than half of what requests should: then requests go
    /// first. A client that has its part of the lane is refused from the whole on. So a flood fills
    /// the lane up to the whole, and requests go first for as long as it lasts.
    pub(crate) fn has_too_many_handshakes(&self, waiting: usize, at_once: usize) -> bool {
        let each = self.handshake.mean() / at_once.max(1) as f64;
        self.is_overloaded() || waiting as f64 * each > self.target() as f64 / 2.0
    }

    /// The expensive part of a handshake took this long.
    #[cfg(any(feature = "tls", test))]
    pub(crate) fn note_handshake(&self, service: Duration) {
        self.handshake.add(nanos(service));
    }

    /// How long a handshake keeps a worker.
    pub(crate) fn handshake_estimate(&self) -> Duration {
        Duration::from_nanos(self.handshake.mean() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overload;
    use crate::pool::overload::fairness::ClientKey;

    const MILLIS: Duration = Duration::from_millis(1);

    #[test]
    fn a_flood_of_handshakes_is_bounded_by_its_wait_and_is_no_load() {
        let now = Instant::now();
        let controller = Controller::new(&Overload::default(), 8, 1000, now);
        let (one, other) = (ClientKey::Uid(1), ClientKey::Uid(2));
        let (one, other) = (controller.bucket(one), controller.bucket(other));
        (0..100).for_each(|_| controller.note_handshake(MILLIS));
        let ahead = |waiting| HandshakesAhead { waiting, at_once: 2, trickle: 20, requests: 0 };
        let admit = |waiting, bucket| controller.admit_handshake(now, now, ahead(waiting), bucket);
        assert_eq!(admit(0, one), Verdict::Keep);
        // 500 µs for each: the interval is 100 ms.
        assert_eq!(admit(200, one), Verdict::Keep);
        assert_eq!(admit(201, one), Verdict::Refuse(Refusal::WaitTooLong));
        (0..150).for_each(|_| controller.count_handshake(one));
        controller.count_handshake(other);
        assert_eq!(admit(151, one), Verdict::Refuse(Refusal::OverFairShare));
        assert_eq!(admit(151, other), Verdict::Keep);
        assert!(!controller.is_overloaded());
        assert_eq!(controller.service_estimate(), Duration::ZERO, "it teaches nothing else");
        assert!(controller.has_too_many_handshakes(151, 2));
        // Half of the target is 2.5 ms.
        assert!(controller.has_too_many_handshakes(6, 2));
        assert!(!controller.has_too_many_handshakes(5, 2));
    }

    #[test]
    fn a_handshake_that_waits_too_long_is_refused() {
        let now = Instant::now();
        let controller = Controller::new(&Overload::default(), 8, 1000, now);
        assert_eq!(controller.check_handshake(999 * MILLIS), Verdict::Keep);
        assert_eq!(controller.check_handshake(1001 * MILLIS), Verdict::Refuse(Refusal::Deadline));
    }
}
