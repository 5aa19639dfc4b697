//! [`DateCache`]: the Date field, formatted once a second.

use std::fmt;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

/// The last second of the year 9999, the latest that an IMF-fixdate can represent.
pub(crate) const LAST_SECOND: u64 = 253_402_300_799;

/// Caches the value of Date (RFC 9110 §5.6.7) for one second.
///
/// The caller reads the clock, and passes the seconds since 1970.
pub(crate) struct DateCache {
    second: u64,
    text: [u8; 29],
}

impl DateCache {
    /// A cache of the date at second 0.
    pub(crate) fn new() -> Self {
        let mut cache = Self { second: 0, text: [0; 29] };
        cache.format();
        cache
    }

    /// The date at this second since 1970. It is formatted only if the second differs from that of
    /// the previous call.
    pub(crate) fn at(&mut self, unix_seconds: u64) -> &[u8; 29] {
        let second = unix_seconds.min(LAST_SECOND);
        if second != self.second {
            self.second = second;
            self.format();
        }
        &self.text
    }

    fn format(&mut self) {
        let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(self.second));
        let written = write!(&mut self.text[..], "{date}");
        debug_assert!(written.is_ok(), "an IMF-fixdate has 29 bytes");
    }
}

impl fmt::Debug for DateCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DateCache").field("second", &self.second).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_changes_with_the_second() {
        let mut cache = DateCache::new();
        assert_eq!(cache.at(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(cache.at(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(cache.at(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(cache.at(784_111_776), b"Sun, 06 Nov 1994 08:49:36 GMT");
    }

    #[test]
    fn a_clock_beyond_the_year_9999_stops_there() {
        let mut cache = DateCache::new();
        assert_eq!(cache.at(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
