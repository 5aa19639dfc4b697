//! The running daemon: what it does on a signal, what it tells the service manager, how it ends.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{error, info, warn};
use millpond::Handle;

use crate::access_log::AccessLog;
use crate::failure::code;
use crate::os::logging;
use crate::os::signals::{Event, Listener};
use crate::os::systemd::Notifier;
use crate::serve::Doors;
use crate::serve::status;
use crate::settings::{Flags, Loaded, Settings};

/// How often the service manager is told how things are.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// How long the end waits for the access log to be written.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// The same after a second signal.
const FLUSH_NOW: Duration = Duration::from_millis(50);

/// A running server and those who ask about it.
pub(crate) struct Daemon {
    pub(crate) handle: Arc<Handle>,
    pub(crate) notifier: Notifier,
    pub(crate) flags: Flags,
    /// The settings at the start, of which some stay.
    pub(crate) started: Settings,
    /// Those that are in effect.
    pub(crate) loaded: Loaded,
    /// Where the handlers can be exchanged.
    pub(crate) doors: Doors,
    pub(crate) access: Option<AccessLog>,
    /// Whether Landlock keeps files out of reach.
    pub(crate) confined: bool,
    /// Whether the last reload was refused.
    pub(crate) stale: bool,
}

impl Daemon {
    /// Answers signals, and keeps the service manager informed, until it is time to stop.
    pub(crate) fn attend(&mut self, signals: &Listener) {
        let mut beat = self.notifier.watchdog().map(Beat::new);
        let mut status = self.notifier.is_on().then(|| Beat::new(STATUS_EVERY));
        let mut progress = Progress::default();
        let mut told = String::new();
        loop {
            let now = Instant::now();
            // Where nobody asks, nothing wakes the thread but a signal.
            let wait = [&beat, &status].into_iter().flatten().map(|beat| beat.left(now)).min();
            match signals.wait(wait) {
                Some(Event::Stop) => return,
                Some(Event::Dump) => self.dump(),
                Some(Event::Reopen) => self.reopen(),
                Some(Event::Reload) => self.reload(),
                None => {}
            }
            let now = Instant::now();
            if beat.as_mut().is_some_and(|beat| beat.is_due(now)) {
                let stats = self.handle.stats();
                let done = stats.served + stats.refused_total() + stats.closed.iter().sum::<u64>();
                let rounds = self.handle.acceptor_rounds();
                match progress.hindrance(stats.queued, done, rounds) {
                    None => self.notifier.alive(),
                    Some(what) => error!("no sign for the watchdog: {what}"),
                }
            }
            if status.as_mut().is_some_and(|beat| beat.is_due(now)) {
                let line = self.status();
                if line != told {
                    self.notifier.status(&line);
                    told = line;
                }
            }
        }
    }

    /// Ends in good order: what is in hand is finished, within the deadline.
    pub(crate) fn drain(self, signals: &Listener) -> ExitCode {
        let deadline = self.loaded.settings.config.timeouts.drain;
        info!("stopping: finishing what is in hand within {deadline:?}");
        self.notifier.stopping(deadline);
        let report = self.handle.drain(deadline);
        if let Some(access) = self.access {
            // A second signal ends the process at once.
            let within = if signals.quit_code().is_some() { FLUSH_NOW } else { FLUSH_WITHIN };
            let dropped = access.finish(within);
            if dropped > 0 {
                warn!("{dropped} lines of the access log were dropped");
            }
        }
        if report.cut_off > 0 {
            warn!("stopped: {report}");
        } else {
            info!("stopped: {report}");
        }
        match signals.quit_code() {
            Some(code) => ExitCode::from(code),
            None if report.cut_off > 0 => ExitCode::from(code::CUT_OFF),
            None => ExitCode::SUCCESS,
        }
    }

    /// One line of how things are.
    pub(crate) fn status(&self) -> String {
        let mut line = self.handle.stats().to_string();
        if let Some(dropped) = self.access.as_ref().map(AccessLog::dropped).filter(|n| *n > 0) {
            line.push_str(&format!(", access log lines dropped {dropped}"));
        }
        if logging::dropped() > 0 {
            line.push_str(&format!(", log lines dropped {}", logging::dropped()));
        }
        if self.stale {
            line.push_str(", new settings refused");
        }
        line
    }

    /// The state in lines of the log.
    fn dump(&self) {
        info!("state: {}", self.status());
        for line in status::lines(&self.handle) {
            info!("state: {line}");
        }
    }

    fn reopen(&self) {
        match &self.access {
            Some(access) if access.reopen() => info!("opening the access log anew"),
            _ => info!("there is no log file to open anew"),
        }
    }
}

/// Whether acceptor and queue get on: the watchdog is to restart a server that does not.
#[derive(Debug, Default)]
struct Progress {
    /// What was done at the last look, if something was waiting then.
    waiting_at: Option<u64>,
    /// How often the acceptor had gone round then; it is woken at each look.
    rounds: Option<u64>,
}

impl Progress {
    /// What does not get on. Nothing, if nothing waits, or nothing waited the last time, or
    /// something was done since; and the acceptor has gone round.
    fn hindrance(&mut self, queued: usize, done: u64, rounds: u64) -> Option<String> {
        let stuck = queued > 0 && self.waiting_at == Some(done);
        self.waiting_at = (queued > 0).then_some(done);
        let still = self.rounds.replace(rounds) == Some(rounds);
        match (stuck, still) {
            (true, _) => Some(format!("{queued} wait, and none was served")),
            (_, true) => Some("the acceptor does not answer".to_owned()),
            (false, false) => None,
        }
    }
}

/// Something that is due every so often.
struct Beat {
    every: Duration,
    next: Instant,
}

impl Beat {
    fn new(every: Duration) -> Self {
        Self { every, next: Instant::now() + every }
    }

    fn left(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Whether it is due; if so, it is due again a full period from now.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + self.every;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_missing_only_where_work_waits_and_none_is_done() {
        let mut progress = Progress::default();
        let table =
            [(0, 0, true), (5, 0, true), (5, 0, false), (5, 1, true), (0, 1, true), (3, 1, true)];
        for ((queued, done, made), rounds) in table.into_iter().zip(1..) {
            let hindrance = progress.hindrance(queued, done, rounds);
            assert_eq!(hindrance.is_none(), made, "{queued} {done}");
        }
    }

    #[test]
    fn an_acceptor_that_does_not_go_round_is_missed() {
        let mut progress = Progress::default();
        for (rounds, made) in [(0, true), (0, false), (1, true), (2, true), (2, false)] {
            assert_eq!(progress.hindrance(0, 0, rounds).is_none(), made, "{rounds}");
        }
    }

    #[test]
    fn a_beat_is_due_once_a_period() {
        let mut beat = Beat::new(Duration::from_secs(10));
        let begun = beat.next - beat.every;
        assert!(!beat.is_due(begun + Duration::from_secs(9)));
        assert!(beat.is_due(begun + Duration::from_secs(11)));
        assert!(!beat.is_due(begun + Duration::from_secs(12)));
    }
}
