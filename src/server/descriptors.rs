//! Fits the limit on connections into `RLIMIT_NOFILE`.

use std::sync::atomic::Ordering;

use rustix::process::{Resource, getrlimit};

use crate::config::Config;
use crate::pool::OPENS_FILES;

/// Descriptors that remain for the rest of the program, including the 256 files that a cache keeps
/// open, when the limit on connections is fitted into `RLIMIT_NOFILE`.
const SPARE_DESCRIPTORS: u64 = 320;

/// Lowers the limit on connections to what `RLIMIT_NOFILE` allows.
pub(super) fn fit_descriptors(config: &mut Config) {
    let Some(allowed) = getrlimit(Resource::Nofile).current else { return };
    // With a file handler, a connection uses two descriptors: its socket, and the file that is
    // being sent.
    let each = if OPENS_FILES.load(Ordering::Relaxed) { 2 } else { 1 };
    // Under a low limit, connections get half of the descriptors: a fixed reserve would leave none.
    let room = (allowed.saturating_sub(SPARE_DESCRIPTORS).max(allowed / 2) / each).max(1);
    let requested = config.limits.connections;
    if requested as u64 > room {
        config.limits.connections = room as usize;
        log::warn!(
            "at most {room} connections at once, not {requested}: \
             the limit on open descriptors (RLIMIT_NOFILE) is {allowed}"
        );
    }
}
