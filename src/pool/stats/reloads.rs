//! [`ReloadStats`]: what became of the reloads of a program's settings.

use std::time::SystemTime;

/// What became of the reloads of a program's settings, which the program
/// [reports](crate::Handle::note_reload).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadStats {
    /// Reloads whose settings were applied.
    pub succeeded: u64,
    /// Reloads that failed, so that the previous settings stayed in effect.
    pub failed: u64,
    /// Whether the last reload failed.
    pub last_failed: bool,
    /// The time of the last reload that succeeded.
    pub last_success: Option<SystemTime>,
}

impl ReloadStats {
    /// Counts a reload.
    pub(crate) fn note(&mut self, succeeded: bool, now: SystemTime) {
        self.last_failed = !succeeded;
        if succeeded {
            self.succeeded += 1;
            self.last_success = Some(now);
        } else {
            self.failed += 1;
        }
    }
}
