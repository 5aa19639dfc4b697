//! SIGHUP: new settings are taken on as far as that goes while running, as a whole or not at all.

use log::{error, info, warn};

use crate::access_log::AccessLog;
use crate::failure::Failure;
use crate::os::logging;
use crate::serve;
use crate::serve::daemon::Daemon;
use crate::settings::table::{Row, rows};
use crate::settings::{Format, Loaded};
use crate::sites::routing::places;
use crate::sites::swap::Room;

/// What to do where a file is denied to a confined process; its modes are rarely the reason.
const CONFINED: &str = "the server is confined (Landlock) to the directories that were named when it \
                        started: restart it; or name more in `reach`, which takes effect at a start";

impl Daemon {
    /// Reads the settings again, and tells the service manager before and after. Wrong ones change
    /// nothing.
    pub(crate) fn reload(&mut self) {
        self.notifier.reloading();
        match self.take_on() {
            Ok(()) => {
                self.stale = false;
                info!("settings read again");
            }
            Err(failure) => {
                self.stale = true;
                let confined = (self.confined && failure.is_denied()).then_some(CONFINED);
                let hint = confined
                    .or(failure.hint())
                    .map(|hint| format!(" ({hint})"))
                    .unwrap_or_default();
                error!("keeping the old settings: {}{hint}", failure.message());
            }
        }
        self.notifier.ready(&self.status());
    }

    fn take_on(&mut self) -> Result<(), Failure> {
        let loaded = serve::load(&self.flags)?;
        let settings = &loaded.settings.access;
        let kept = self.access.as_ref().filter(|log| log.is_at(settings));
        let kept = kept.filter(|_| settings.format != Format::Off);
        let mut opened = if kept.is_some() { None } else { serve::access_log(&loaded.settings) };
        if let Some(log) = &mut opened {
            log.open(None)?;
            log.start()?;
        }
        let rooms = self.rooms(&loaded, kept.or(opened.as_ref()))?;
        self.handle.reconfigure(loaded.settings.config.clone())?;
        // Nothing fails from here on.
        for ((_, door), room) in self.doors.iter().zip(rooms) {
            door.swap(room);
        }
        match kept {
            Some(log) => log.bound(settings),
            // The old log ends with the last request that began with it.
            None => {
                if let (Some(new), Some(old)) = (&mut opened, &self.access) {
                    new.follow(old);
                }
                self.access = opened;
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

    /// What is to be behind each door. Endpoints stay as they were at the start: one that the sites
    /// do not name any more is served as before.
    fn rooms(&self, loaded: &Loaded, access: Option<&AccessLog>) -> Result<Vec<Room>, Failure> {
        let mut bound = loaded.clone();
        bound.settings.bind.clone_from(&self.started.bind);
        let passed = self.doors.iter().any(|(endpoint, _)| endpoint.is_none());
        let places = places(&bound, passed)?;
        let rooms = serve::rooms(&bound, &places, access)?;
        let mut rooms: Vec<_> = rooms.into_iter().map(Some).collect();
        let mut found = Vec::new();
        for (endpoint, door) in &self.doors {
            let position = places.iter().position(|place| place.endpoint == *endpoint);
            found.push(match position.and_then(|index| rooms[index].take()) {
                Some(room) => room,
                None => {
                    let name = endpoint.as_deref().unwrap_or("what was passed");
                    warn!("{name} is served as before until the next start");
                    Room { access: serve::line_log(loaded, access), ..door.room() }
                }
            });
        }
        for (place, _) in places.iter().zip(&rooms).filter(|(_, room)| room.is_some()) {
            let name = place.endpoint.as_deref().unwrap_or("what was passed");
            warn!("{name} is served from the next start on");
        }
        Ok(found)
    }
}

/// Whether a new value takes effect while running.
fn takes_effect(row: &Row) -> bool {
    let fixed = ["bind", "echo", "log.color", "user", "confine", "reach"];
    !fixed.contains(&row.key) && !row.key.starts_with("pool.")
}
