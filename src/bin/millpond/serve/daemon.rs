//! [`Daemon`]: the main loop of a running server, and its end.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::{error, info, warn};
use millpond::{Handle, ServerState, Tls};

use super::watchdog::{PeriodicTimer, WatchdogCheck};
use super::{status, tls};
use crate::access_log::writer::AccessLog;
use crate::failure::code;
use crate::os::logging;
use crate::os::notify::Notifier;
use crate::os::signals::{Event, SignalReceiver};
use crate::settings::{Flags, Loaded, Settings};
use crate::sites::swap::ListenerSwaps;

/// How often the service manager gets the status.
const STATUS_PERIOD: Duration = Duration::from_secs(10);

/// How often certificates that expire soon are logged.
const EXPIRY_PERIOD: Duration = Duration::from_secs(24 * 3600);

/// How long the end of the process waits for the access log to be written.
const ACCESS_LOG_TIMEOUT: Duration = Duration::from_secs(1);

/// The same after a second signal.
const ACCESS_LOG_TIMEOUT_ON_QUIT: Duration = Duration::from_millis(50);

/// A running server, and what signals do to it.
pub(super) struct Daemon {
    pub(super) handle: Arc<Handle>,
    pub(super) notifier: Notifier,
    pub(super) flags: Flags,
    /// The settings at the start. Some of them stay in effect until the next start.
    pub(super) started: Settings,
    /// The settings that are in effect.
    pub(super) loaded: Loaded,
    /// The handlers that a reload can replace. Empty for a server without HTTP (echo).
    pub(super) swaps: ListenerSwaps,
    /// The certificates, which a reload can replace. `None` for a server without TLS.
    pub(super) tls: Option<Tls>,
    pub(super) access_log: Option<AccessLog>,
    /// Whether Landlock restricts the process.
    pub(super) confined: bool,
    /// Whether the last reload failed.
    pub(super) reload_failed: bool,
}

impl Daemon {
    /// Handles signals and notifies the service manager until a signal stops the server.
    pub(super) fn run_until_stop(&mut self, signals: &SignalReceiver) {
        self.run_until(None, signals);
    }

    /// Serves for `timeouts.lame_duck` more, so that proxies notice the stop before connections are
    /// refused. A second signal ends it.
    pub(super) fn lame_duck(&mut self, signals: &SignalReceiver) {
        let timeouts = &self.loaded.settings.config.timeouts;
        let (time, drain) = (timeouts.lame_duck, timeouts.drain);
        self.handle.lame_duck();
        if time.is_zero() {
            return;
        }
        info!("lame duck: serving for {time:?} before the drain");
        self.notifier.stopping(time + drain, "lame duck");
        self.run_until(Instant::now().checked_add(time), signals);
    }

    fn run_until(&mut self, end: Option<Instant>, signals: &SignalReceiver) {
        let mut watchdog = self.notifier.watchdog_interval().map(PeriodicTimer::new);
        let mut status = self.notifier.is_enabled().then(|| PeriodicTimer::new(STATUS_PERIOD));
        let mut expiry = self.tls.is_some().then(|| PeriodicTimer::new(EXPIRY_PERIOD));
        let mut check = WatchdogCheck::default();
        let mut last_status = String::new();
        loop {
            let now = Instant::now();
            // Without a service manager and TLS there is no timer, so that an idle server makes no
            // calls.
            let timers = [&watchdog, &status, &expiry].into_iter().flatten();
            let left = end.map(|end| end.saturating_duration_since(now));
            match signals.wait(timers.map(|timer| timer.left(now)).chain(left).min()) {
                Some(Event::Stop) => return,
                Some(Event::LogState) => self.log_state(),
                Some(Event::Reopen) => self.reopen_access_log(),
                Some(Event::Reload) if !self.handle.is_ready() => {
                    warn!("settings not reloaded: the server is stopping");
                }
                Some(Event::Reload) => self.reload(),
                None => {}
            }
            let now = Instant::now();
            if end.is_some_and(|end| now >= end) {
                return;
            }
            if watchdog.as_mut().is_some_and(|timer| timer.is_due(now)) {
                self.notify_watchdog(&mut check);
            }
            if expiry.as_mut().is_some_and(|timer| timer.is_due(now)) {
                self.log_expiry();
            }
            if status.as_mut().is_some_and(|timer| timer.is_due(now)) {
                let line = self.status();
                if line != last_status {
                    self.notifier.status(&line);
                    last_status = line;
                }
            }
        }
    }

    /// Logs which certificates have expired, or will soon.
    pub(super) fn log_expiry(&self) {
        if let Some(tls) = &self.tls {
            let lines = tls::expiry_warnings(tls, SystemTime::now());
            lines.iter().for_each(|line| warn!("{line}"));
        }
    }

    /// Notifies the watchdog, unless the server makes no progress.
    fn notify_watchdog(&self, check: &mut WatchdogCheck) {
        let stats = self.handle.stats();
        let done = stats.served + stats.refused_total() + stats.closed_total();
        match check.failure(stats.queued, done, self.handle.acceptor_rounds()) {
            None => self.notifier.alive(),
            Some(failure) => error!("watchdog not notified: {failure}"),
        }
    }

    /// Stops gracefully: finishes the requests in progress within the drain timeout.
    pub(super) fn drain(self, signals: &SignalReceiver) -> ExitCode {
        let timeout = self.loaded.settings.config.timeouts.drain;
        info!("stopping: finishing requests in progress within {timeout:?}");
        self.notifier.stopping(timeout, "draining");
        let report = self.handle.drain(timeout);
        if let Some(log) = self.access_log {
            let quit = signals.quit_code().is_some();
            let timeout = if quit { ACCESS_LOG_TIMEOUT_ON_QUIT } else { ACCESS_LOG_TIMEOUT };
            let dropped = log.finish(timeout);
            if dropped > 0 {
                warn!("access log: dropped {dropped} lines in all");
            }
        }
        if report.cut_off > 0 {
            warn!("stopped: {report}");
        } else {
            info!("stopped: {report}");
        }
        match signals.quit_code() {
            Some(code) => ExitCode::from(code),
            None if report.cut_off > 0 => ExitCode::from(code::DRAIN_TIMEOUT),
            None => ExitCode::SUCCESS,
        }
    }

    /// The state of the server in one line.
    pub(super) fn status(&self) -> String {
        let mut line = self.handle.stats().to_string();
        if self.handle.state() == ServerState::LameDuck {
            line.insert_str(0, "lame duck, ");
        }
        if let Some(dropped) = self.access_log.as_ref().map(AccessLog::dropped).filter(|n| *n > 0) {
            line.push_str(&format!(", access log lines dropped {dropped}"));
        }
        if logging::dropped() > 0 {
            line.push_str(&format!(", log lines dropped {}", logging::dropped()));
        }
        if self.reload_failed {
            line.push_str(", last reload failed");
        }
        line
    }

    /// Logs the state of the server in several lines.
    fn log_state(&self) {
        info!("state: {}", self.status());
        for line in status::lines(&self.handle) {
            info!("state: {line}");
        }
    }

    fn reopen_access_log(&self) {
        match &self.access_log {
            Some(log) if log.reopen() => info!("access log: reopening"),
            _ => info!("access log: no file to reopen"),
        }
    }
}
