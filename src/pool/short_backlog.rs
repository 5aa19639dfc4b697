//! [`ShortBacklog`]: the backlog of listeners while refusing their connections costs too much.

use std::time::{Duration, Instant};

/// The backlog of a listener while accepting pauses because refusing costs too much. Connections in
/// a backlog can be neither timed nor refused, so it is no longer than the acceptor can handle in a
/// few milliseconds. The kernel drops the SYN of any other connection, which is the cheapest
/// refusal.
pub(crate) const SHORT_BACKLOG: u32 = 64;

/// How long the short backlog is kept after the last pause.
pub(crate) const SHORT_FOR: Duration = Duration::from_secs(1);

/// Whether the backlogs of some listeners are short.
#[derive(Debug, Default)]
pub(super) struct ShortBacklog {
    /// When they have their full length again, if they are short.
    until: Option<Instant>,
}

impl ShortBacklog {
    /// Notes whether accepting pauses at `now`. `Some`: the backlogs become short, or not.
    pub(super) fn note(&mut self, pauses: bool, now: Instant) -> Option<bool> {
        let was_short = self.until.is_some();
        if pauses {
            self.until = Some(now + SHORT_FOR);
        } else if self.until.is_some_and(|until| until <= now) {
            self.until = None;
        }
        let is_short = self.until.is_some();
        (is_short != was_short).then_some(is_short)
    }

    /// How long the backlogs are still short.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now))
    }

    /// Ends it. Returns whether the backlogs were short.
    pub(super) fn end(&mut self) -> bool {
        self.until.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_short_until_a_while_after_the_last_pause() {
        let epoch = Instant::now();
        let at = |quarters: u32| epoch + SHORT_FOR * quarters / 4;
        let mut backlog = ShortBacklog::default();
        assert_eq!(backlog.note(false, at(0)), None);
        assert_eq!(backlog.note(true, at(1)), Some(true));
        assert_eq!(backlog.note(true, at(2)), None);
        assert_eq!(backlog.left(at(4)), Some(SHORT_FOR / 2));
        assert_eq!(backlog.note(false, at(5)), None);
        assert_eq!(backlog.note(false, at(6)), Some(false));
        assert_eq!((backlog.left(at(6)), backlog.end()), (None, false));
        backlog.note(true, at(7));
        assert!(backlog.end() && !backlog.end());
    }
}
