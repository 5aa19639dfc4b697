//! The running daemon: what it does on a signal, what it tells the service manager, how it ends.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{error, info, warn};
use millpond::Handle;

use crate::access_log::AccessLog;
use crate::failure::code;
use crate::serve::Doors;
use crate::settings::{Flags, Loaded, Settings};
use crate::signals::{Event, Listener};
use crate::state;
use crate::systemd::Notifier;

/// How often the service manager is told how things are.
const STATUS_EVERY: Duration = Duration::from_secs(10);

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
                if progress.is_made(stats.queued, done) {
                    self.notifier.alive();
                } else {
                    error!("no sign for the watchdog: {} wait, and none was served", stats.queued);
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
            let dropped = access.finish();
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
        if self.stale {
            line.push_str(", new settings refused");
        }
        line
    }

    /// The state in lines of the log.
    fn dump(&self) {
        info!("state: {}", self.status());
        for line in state::lines(&self.handle) {
            info!("state: {line}");
        }
    }

    fn reopen(&self) {
        match &self.access {
            Some(access) => {
                access.reopen();
                info!("opening the access log anew");
            }
            None => info!("there is no log file to open anew"),
        }
    }
}

/// Whether the queue gets on: the watchdog is to restart a server that does not.
#[derive(Debug, Default)]
struct Progress {
    /// What was done at the last look, if something was waiting then.
    waiting_at: Option<u64>,
}

impl Progress {
    /// Whether nothing waits, nothing waited the last time, or something was done since.
    fn is_made(&mut self, queued: usize, done: u64) -> bool {
        let stuck = queued > 0 && self.waiting_at == Some(done);
        self.waiting_at = (queued > 0).then_some(done);
        !stuck
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
        for (queued, done, made) in
            [(0, 0, true), (5, 0, true), (5, 0, false), (5, 1, true), (0, 1, true), (3, 1, true)]
        {
            assert_eq!(progress.is_made(queued, done), made, "{queued} {done}");
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
