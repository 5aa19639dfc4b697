//! [`LogThrottle`]: one log line for the first of many equal events, and a count of the others.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// How long events are only counted after a line was logged, unless another time is set.
const PERIOD: Duration = Duration::from_secs(10);

/// Logs an event that may happen thousands of times a second at most once in a period of 10 s, or
/// of another length.
#[derive(Debug)]
pub(crate) struct LogThrottle {
    period: Duration,
    state: Mutex<ThrottleState>,
}

#[derive(Debug, Default)]
struct ThrottleState {
    until: Option<Instant>,
    suppressed: u64,
}

impl Default for LogThrottle {
    fn default() -> Self {
        Self::every(PERIOD)
    }
}

impl LogThrottle {
    /// Logs at most once in `period`.
    pub(crate) const fn every(period: Duration) -> Self {
        Self { period, state: Mutex::new(ThrottleState { until: None, suppressed: 0 }) }
    }

    /// `Some(suppressed)` if the event is to be logged now, with the number of events that were not
    /// logged since the last line. `None`: it is only counted.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = lock(&self.state);
        if state.until.is_some_and(|until| now < until) {
            state.suppressed += 1;
            return None;
        }
        state.until = Some(now + self.period);
        Some(std::mem::take(&mut state.suppressed))
    }

    /// The line to log now, with the number of events that were not logged since the last one.
    /// `None`: the event is only counted.
    pub(crate) fn line(&self, now: Instant, text: impl FnOnce() -> String) -> Option<String> {
        self.admit(now).map(|suppressed| match suppressed {
            0 => text(),
            _ => format!("{} (and {suppressed} more since the last such line)", text()),
        })
    }

    /// Logs an error, unless one was logged within the period.
    pub(crate) fn error(&self, now: Instant, text: impl FnOnce() -> String) {
        if let Some(line) = self.line(now, text) {
            log::error!("{line}");
        }
    }

    /// Logs a warning, unless one was logged within the period.
    pub(crate) fn warn(&self, now: Instant, text: impl FnOnce() -> String) {
        if let Some(line) = self.line(now, text) {
            log::warn!("{line}");
        }
    }

    /// Logs a piece of information, unless one was logged within the period.
    #[cfg(feature = "tls")]
    pub(crate) fn info(&self, now: Instant, text: impl FnOnce() -> String) {
        if let Some(line) = self.line(now, text) {
            log::info!("{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_is_logged_and_the_others_are_counted_for_a_while() {
        let throttle = LogThrottle::default();
        let start = Instant::now();
        assert_eq!(throttle.admit(start), Some(0));
        for _ in 0..5 {
            assert_eq!(throttle.admit(start + PERIOD / 2), None);
        }
        assert_eq!(throttle.admit(start + PERIOD), Some(5));
        assert_eq!(throttle.admit(start + PERIOD), None);
        assert_eq!(throttle.admit(start + 3 * PERIOD), Some(1));
    }
}
