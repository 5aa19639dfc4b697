//! SIGHUP: new settings replace the old ones, as a whole or not at all.

use std::path::PathBuf;

use log::{error, info, warn};

use super::build::{access_log, handlers, recorder};
use super::daemon::Daemon;
use super::load::load;
use super::tls;
use crate::access_log::writer::AccessLog;
use crate::failure::Failure;
use crate::os::logging;
use crate::settings::table::{Row, rows};
use crate::settings::{AccessLogFormat, Loaded};
use crate::sites::routing::listener_sites;
use crate::sites::swap::ListenerHandler;

/// The hint for a denied path of a confined process, whose file modes are rarely the reason.
const CONFINED_HINT: &str = "the server is confined (Landlock) to the directories that were \
                             allowed when it started: restart it, or allow more by `reach`, which \
                             takes effect at a start";

impl Daemon {
    /// Reloads the settings. The service manager is notified before and after. Invalid settings
    /// change nothing.
    pub(super) fn reload(&mut self) {
        self.notifier.reloading();
        let result = self.apply_new_settings();
        self.handle.note_reload(result.is_ok());
        match result {
            Ok(()) => {
                self.reload_failed = false;
                info!("settings reloaded");
            }
            Err(failure) => {
                self.reload_failed = true;
                // Landlock allows the keys of the start: there the mode of the file is the reason.
                let is_named =
                    |path: &PathBuf| failure.message().contains(&*path.to_string_lossy());
                let is_allowed = tls::files(&self.started).iter().any(is_named);
                let is_confined = self.confined && failure.is_denied() && !is_allowed;
                let confined = is_confined.then_some(CONFINED_HINT);
                let hint = confined
                    .or(failure.hint())
                    .map(|hint| format!(" ({hint})"))
                    .unwrap_or_default();
                error!("reload failed, the old settings stay: {}{hint}", failure.message());
            }
        }
        self.notifier.ready(&self.status());
    }

    fn apply_new_settings(&mut self) -> Result<(), Failure> {
        let loaded = load(&self.flags)?;
        let settings = &loaded.settings.access_log;
        let kept = self.access_log.as_ref().filter(|log| log.is_at(settings));
        let kept = kept.filter(|_| settings.format != AccessLogFormat::Off);
        let mut opened = if kept.is_some() { None } else { access_log(&loaded.settings) };
        if let Some(log) = &mut opened {
            log.open(None)?;
            log.start()?;
        }
        let handlers = self.new_handlers(&loaded, kept.or(opened.as_ref()))?;
        let certificates = tls::prepare(self.tls.as_ref(), &loaded.settings)?;
        self.handle.reconfigure(loaded.settings.config.clone())?;
        // Nothing fails from here on.
        if let Some(certificates) = certificates {
            certificates.apply();
            self.log_expiry();
        }
        for ((_, swap), handler) in self.swaps.iter().zip(handlers) {
            swap.replace(handler);
        }
        match kept {
            Some(log) => log.set_limit(settings),
            // The old log ends with the last request that uses it.
            None => {
                if let (Some(new), Some(old)) = (&mut opened, &self.access_log) {
                    new.continue_count_of(old);
                }
                self.access_log = opened;
            }
        }
        logging::set_level(loaded.settings.log.level);
        for row in rows().filter(|row| !takes_effect(row)) {
            let (old, new) = ((row.get)(&self.started), (row.get)(&loaded.settings));
            if old != new {
                warn!("{} = {} takes effect at the next start", row.key, new.join(" "));
            }
        }
        loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
        self.loaded = loaded;
        Ok(())
    }

    /// The new handler of each listener. The listeners stay those of the start: one that the new
    /// settings do not have keeps its handler.
    fn new_handlers(
        &self,
        loaded: &Loaded,
        access: Option<&AccessLog>,
    ) -> Result<Vec<ListenerHandler>, Failure> {
        let mut bound = loaded.clone();
        bound.settings.bind.clone_from(&self.started.bind);
        let passed = self.swaps.iter().any(|(endpoint, _)| endpoint.is_none());
        let listeners = listener_sites(&bound, passed)?;
        let handlers = handlers(&bound, &listeners, access)?;
        let mut handlers: Vec<_> = handlers.into_iter().map(Some).collect();
        let mut found = Vec::new();
        for (endpoint, swap) in &self.swaps {
            let position = listeners.iter().position(|listener| listener.endpoint == *endpoint);
            found.push(match position.and_then(|index| handlers[index].take()) {
                Some(handler) => handler,
                None => {
                    warn!("{} keeps its old sites until the next start", name(endpoint.as_deref()));
                    let handler = swap.current().handler.clone();
                    ListenerHandler { handler, access_log: recorder(loaded, access) }
                }
            });
        }
        for (listener, _) in listeners.iter().zip(&handlers).filter(|(_, left)| left.is_some()) {
            warn!("{} is bound at the next start", name(listener.endpoint.as_deref()));
        }
        Ok(found)
    }
}

/// A listener in the words of the log.
fn name(endpoint: Option<&str>) -> &str {
    endpoint.unwrap_or("the listener with the passed sockets")
}

/// Whether a new value takes effect while the server runs.
fn takes_effect(row: &Row) -> bool {
    // `timeouts.defer_accept` is an option of a listener, which is set when the listener is bound.
    let fixed = ["bind", "echo", "log.color", "user", "confine", "reach", "timeouts.defer_accept"];
    let is_fixed = |table| row.key.starts_with(table);
    !fixed.contains(&row.key) && !["pool.", "admin.", "agent."].into_iter().any(is_fixed)
}
