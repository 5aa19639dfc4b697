//! [`HandshakeStats`]: what became of TLS handshakes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::close::CloseReason;

/// What became of TLS handshakes. All are zero without TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeStats {
    /// Handshakes with a signature of the server.
    pub full: u64,
    /// Handshakes that resumed an earlier session.
    pub resumed: u64,
    /// Handshakes that failed: the two sides had nothing in common, or the client's bytes were not
    /// valid.
    pub failed: u64,
    /// Handshakes that took longer than their timeout.
    pub timed_out: u64,
    /// Handshakes that were refused because of overload.
    pub refused: u64,
    /// Connections whose first bytes were not TLS.
    pub cleartext: u64,
    /// The time that workers spent on all of them.
    pub time: Duration,
}

/// The counters behind [`HandshakeStats`].
#[derive(Debug, Default)]
pub(crate) struct HandshakeCounters {
    pub(crate) full: AtomicU64,
    pub(crate) resumed: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) cleartext: AtomicU64,
    nanos: AtomicU64,
}

impl HandshakeCounters {
    /// Counts one more.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Counts the time of a step.
    #[cfg(feature = "tls")]
    pub(crate) fn add_time(&self, time: Duration) {
        self.nanos.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    /// `closed`: how many connections ended, by [`CloseReason`].
    pub(crate) fn stats(&self, closed: [u64; CloseReason::COUNT]) -> HandshakeStats {
        HandshakeStats {
            full: self.full.load(Relaxed),
            resumed: self.resumed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            timed_out: closed[CloseReason::HandshakeTimeout as usize],
            refused: self.refused.load(Relaxed),
            cleartext: self.cleartext.load(Relaxed),
            time: Duration::from_nanos(self.nanos.load(Relaxed)),
        }
    }
}
