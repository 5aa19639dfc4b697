//! [`LogThrottle`]: a line in the log for the first of many troubles, and a count for the others.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// For how long after a line the like of it is only counted.
const PERIOD: Duration = Duration::from_secs(10);

/// Says what may happen many thousand times a second no more than once in [`PERIOD`].
#[derive(Debug, Default)]
pub(crate) struct LogThrottle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    until: Option<Instant>,
    suppressed: u64,
}

impl LogThrottle {
    /// `Some` if it is to be said now, with how many were not said since the last one; otherwise it
    /// is counted.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = lock(&self.0);
        if state.until.is_some_and(|until| now < until) {
            state.suppressed += 1;
            return None;
        }
        state.until = Some(now + PERIOD);
        Some(std::mem::take(&mut state.suppressed))
    }

    /// Logs a warning, if it is time for one.
    pub(crate) fn warn(&self, now: Instant, text: impl FnOnce() -> String) {
        if let Some(suppressed) = self.admit(now) {
            let text = text();
            match suppressed {
                0 => log::warn!("{text}"),
                _ => {
                    log::warn!("{text} (and {suppressed} others like it since the last such line)");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_the_others_are_counted_for_a_while() {
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
