//! [`Der`]: reads the values of DER (X.690 §8), as far as certificates have them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const T61: u8 = 0x14;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const TIME: u8 = 0x18;
pub(super) const BMP: u8 = 0x1e;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The values that are left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Der<'a>(pub(super) &'a [u8]);

impl<'a> Der<'a> {
    /// The next value: its tag and its content. `None` at the end, and where the bytes are no
    /// value.
    pub(super) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        // Long form: the number of bytes that have the length.
        if let Some(bytes @ 1..=4) = length.checked_sub(0x80) {
            let (digits, after) = rest.split_at_checked(bytes)?;
            length = digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit));
            rest = after;
        } else if length >= 0x80 {
            return None;
        }
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((tag, content))
    }

    /// The content of the next value, if it has this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<Der<'a>> {
        self.optional(tag)
    }

    /// The same. If the next value has another tag, it stays the next.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Der<'a>> {
        let mut after = *self;
        let (found, content) = after.any()?;
        (found == tag).then(|| {
            *self = after;
            Der(content)
        })
    }

    /// The next value as a time (RFC 5280 §4.1.2.5).
    pub(super) fn time(&mut self) -> Option<SystemTime> {
        let (tag, text) = self.any()?;
        let text = str::from_utf8(text).ok()?.strip_suffix('Z')?;
        let (year, rest) = match tag {
            // Two digits: from 1950 to 2049.
            UTC_TIME => {
                let year = number(text.get(..2)?)?;
                (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
            }
            TIME => (number(text.get(..4)?)?, text.get(4..)?),
            _ => return None,
        };
        let mut parts = [0; 5];
        for (index, part) in parts.iter_mut().enumerate() {
            *part = number(rest.get(2 * index..2 * index + 2)?)?;
        }
        let [month, day, hour, minute, second] = parts;
        let is_time = (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60
            && rest.len() == 10;
        // A leap second is the one before: after the last second of the year 9999 there is no date.
        let second_of_day = hour * 3600 + minute * 60 + second.min(59);
        let seconds = days(year, month, day) * 86_400 + second_of_day;
        let distance = Duration::from_secs(seconds.unsigned_abs());
        match seconds {
            _ if !is_time => None,
            0.. => UNIX_EPOCH.checked_add(distance),
            _ => UNIX_EPOCH.checked_sub(distance),
        }
    }
}

/// A number of decimal digits only.
fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // The year begins in March, so that a leap day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_a_tag_and_a_length_of_either_form() {
        let mut der = Der(b"\x02\x01\x07\x04\x81\x02ab\x30\x00");
        assert_eq!(der.any(), Some((INTEGER, &b"\x07"[..])));
        assert!(der.optional(INTEGER).is_none());
        assert_eq!(der.expect(OCTETS).unwrap().0, b"ab");
        assert_eq!(der.any(), Some((SEQUENCE, &b""[..])));
        assert_eq!(der.any(), None);
        let broken: [&[u8]; 5] =
            [b"\x02", b"\x02\x02a", b"\x02\x80a", b"\x02\x85\0\0\0\0\x01a", b"\x02\x84\xff"];
        for bytes in broken {
            assert_eq!(Der(bytes).any(), None, "{bytes:x?}");
        }
    }

    #[test]
    fn a_time_is_read_in_both_forms() {
        let table = [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (TIME, "20500101000000Z", Some(2_524_608_000)),
            (TIME, "20240229120000Z", Some(1_709_208_000)),
            (TIME, "20000301000000Z", Some(951_868_800)),
            (TIME, "99991231235960Z", Some(253_402_300_799)),
            (UTC_TIME, "700101000000", None),
            (UTC_TIME, "7001010000Z", None),
            (UTC_TIME, "701301000000Z", None),
            (UTC_TIME, "70010100000000Z", None),
            (UTC_TIME, "70-10100000+Z", None),
            (OCTETS, "700101000000Z", None),
        ];
        for (tag, text, expected) in table {
            let bytes = [&[tag, text.len() as u8], text.as_bytes()].concat();
            let seconds =
                Der(&bytes).time().map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_secs());
            assert_eq!(seconds, expected, "{text}");
        }
        let early = Der(b"\x17\x0d691231235959Z").time().unwrap();
        assert_eq!(UNIX_EPOCH.duration_since(early).unwrap(), Duration::from_secs(1));
    }
}
