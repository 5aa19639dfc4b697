//! [`Hush`]: a line in the log for the first of many troubles, and a count for the others.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// For how long after a line the like of it is only counted.
const QUIET: Duration = Duration::from_secs(10);

/// Says what may happen many thousand times a second no more than once in [`QUIET`].
#[derive(Debug, Default)]
pub(crate) struct Hush(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    until: Option<Instant>,
    unsaid: u64,
}

impl Hush {
    /// `Some` if it is to be said now, with how many were not said since the last one; otherwise it is
    /// counted.
    pub(crate) fn ask(&self, now: Instant) -> Option<u64> {
        let mut state = lock(&self.0);
        if state.until.is_some_and(|until| now < until) {
            state.unsaid += 1;
            return None;
        }
        state.until = Some(now + QUIET);
        Some(std::mem::take(&mut state.unsaid))
    }

    /// Logs a warning, if it is time for one.
    pub(crate) fn warn(&self, now: Instant, text: impl FnOnce() -> String) {
        if let Some(unsaid) = self.ask(now) {
            let text = text();
            match unsaid {
                0 => log::warn!("{text}"),
                _ => log::warn!("{text} (and {unsaid} others like it since the last such line)"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_the_others_are_counted_for_a_while() {
        let hush = Hush::default();
        let start = Instant::now();
        assert_eq!(hush.ask(start), Some(0));
        for _ in 0..5 {
            assert_eq!(hush.ask(start + QUIET / 2), None);
        }
        assert_eq!(hush.ask(start + QUIET), Some(5));
        assert_eq!(hush.ask(start + QUIET), None);
        assert_eq!(hush.ask(start + 3 * QUIET), Some(1));
    }
}
