//! Parses the Range field (RFC 9110 §14). Pure functions.

use std::ops::Range;

use crate::http::list::split;

/// The result of applying a Range field to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ranges {
    /// The field is ignored: it is malformed, has another unit, or has too many ranges.
    Whole,
    /// 416: no range is inside the file.
    Unsatisfiable,
    /// At least one range of bytes. None is empty, and none overlaps another.
    Parts(Vec<Range<u64>>),
}

/// The maximum length of the field for each allowed range, in bytes.
const RANGE_LENGTH_MAX: usize = 64;
/// Ranges at most this many bytes apart are merged: the head of another part would be longer than
/// the bytes between them.
const GAP_MAX: u64 = 100;

/// Parses the value of a Range field for a file of `length` bytes. `most` is the maximum number of
/// ranges.
///
/// Ranges that overlap or nearly touch are merged (RFC 9110 §15.3.7.2), so that no response is
/// longer than the file (§14.2). Otherwise their order is kept.
pub(super) fn ranges(value: &[u8], length: u64, most: usize) -> Ranges {
    let set = match value.split_at_checked(6) {
        Some((unit, set)) if unit.eq_ignore_ascii_case(b"bytes=") => set,
        _ => return Ranges::Whole,
    };
    // A range has at most two numbers of twenty digits. A longer field has more ranges than are
    // allowed, or consists mostly of commas.
    if set.len() > RANGE_LENGTH_MAX.saturating_mul(most.saturating_add(1)) {
        return Ranges::Whole;
    }
    let mut parts: Vec<Range<u64>> = Vec::new();
    let mut count = 0;
    let mut whole = false;
    for spec in split(set, b',') {
        // A list may have empty members (RFC 9110 §5.6.1.2).
        if spec.is_empty() {
            continue;
        }
        count += 1;
        let Ok(spec) = std::str::from_utf8(spec) else { return Ranges::Whole };
        let Some(range) = range(spec, length) else { return Ranges::Whole };
        if count > most {
            return Ranges::Whole;
        }
        // No Content-Range can describe all of an empty file (RFC 9110 §14.4): the response is a
        // 200.
        whole |= length == 0 && is_all(spec);
        if !range.is_empty() {
            join(&mut parts, range);
        }
    }
    match (count, parts.is_empty()) {
        (0, _) => Ranges::Whole,
        (_, true) if whole => Ranges::Whole,
        (_, true) => Ranges::Unsatisfiable,
        (_, false) => Ranges::Parts(parts),
    }
}

/// One range: empty if it is beyond the end, `None` if it is malformed.
fn range(spec: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(length.saturating_sub(suffix)..length);
    }
    let first = number(first)?;
    if last.is_empty() {
        return Some(first.min(length)..length);
    }
    let last = number(last)?;
    if last < first {
        return None;
    }
    Some(first.min(length)..last.saturating_add(1).min(length))
}

/// Whether a well-formed range covers all of an empty file: `0-`, or a suffix.
fn is_all(spec: &str) -> bool {
    match spec.split_once('-') {
        Some(("", suffix)) => number(suffix) != Some(0),
        Some((first, "")) => number(first) == Some(0),
        _ => false,
    }
}

/// Parses a number of digits only. A number above 64 bits is beyond the end of any file.
fn number(digits: &str) -> Option<u64> {
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Adds a range. It replaces the ranges that it overlaps or nearly touches, in the place of the
/// first of them.
fn join(parts: &mut Vec<Range<u64>>, range: Range<u64>) {
    let near = |other: &Range<u64>, range: &Range<u64>| {
        range.start <= other.end.saturating_add(GAP_MAX)
            && other.start <= range.end.saturating_add(GAP_MAX)
    };
    let Some(place) = parts.iter().position(|other| near(other, &range)) else {
        parts.push(range);
        return;
    };
    // The merged range may be near other ranges, before and after it.
    let mut joined = range;
    let mut first = place;
    while let Some(at) = parts.iter().position(|other| near(other, &joined)) {
        let other = parts.remove(at);
        joined = joined.start.min(other.start)..joined.end.max(other.end);
        first = first.min(at);
    }
    parts.insert(first, joined);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_14_1_2_says() {
        use Ranges::{Unsatisfiable, Whole};
        let parts = |list: &[Range<u64>]| Ranges::Parts(list.to_vec());
        let one = |range: Range<u64>| parts(&[range]);
        let table = [
            ("bytes=0-499", one(0..500)),
            ("bytes=500-999", one(500..1000)),
            ("bytes=-500", one(9500..10000)),
            ("bytes=9500-", one(9500..10000)),
            ("bytes=0-0,-1", parts(&[0..1, 9999..10000])),
            ("Bytes=1-1", one(1..2)),
            ("bytes= 0-1 ,\t5000-5001", parts(&[0..2, 5000..5002])),
            ("bytes=,0-1,,", one(0..2)),
            ("bytes=0-99999", one(0..10000)),
            ("bytes=-99999", one(0..10000)),
            ("bytes=0-18446744073709551615", one(0..10000)),
            ("bytes=0-99999999999999999999999", one(0..10000)),
            ("bytes=10000-", Unsatisfiable),
            ("bytes=10000-,20000-30000", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=10000-,0-0", one(0..1)),
            ("bytes=5-4", Whole),
            ("bytes=0-0,5-4", Whole),
            ("bytes=", Whole),
            ("bytes=,", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1 -2", Whole),
            ("bytes=0x1-2", Whole),
            ("bytes:0-1", Whole),
            ("bytes 0-1", Whole),
            ("items=0-1", Whole),
            ("", Whole),
            // Merging, §15.3.7.2.
            ("bytes=500-600,601-999", one(500..1000)),
            ("bytes=500-700,601-999", one(500..1000)),
            ("bytes=0-,0-,0-", one(0..10000)),
            ("bytes=0-0,60-60", one(0..61)),
            ("bytes=5000-5009,0-9", parts(&[5000..5010, 0..10])),
            ("bytes=0-9,5000-5009,5-5004", one(0..5010)),
            ("bytes=1000-1009,0-9,5000-5009,0-1100", parts(&[0..1101, 5000..5010])),
            // Five ranges are more than the allowed four, §14.2.
            ("bytes=0-0,1000-1000,2000-2000,3000-3000,4000-4000", Whole),
        ];
        for (value, expected) in table {
            assert_eq!(ranges(value.as_bytes(), 10_000, 4), expected, "{value}");
        }
        for (value, expected) in [
            ("bytes=0-", Whole),
            ("bytes=-5", Whole),
            ("bytes=5-9,-1", Whole),
            ("bytes=0-0", Unsatisfiable),
            ("bytes=1-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
        ] {
            assert_eq!(ranges(value.as_bytes(), 0, 4), expected, "{value}");
        }
        assert_eq!(ranges(format!("bytes={}0-0", ",".repeat(400)).as_bytes(), 100, 4), Whole);
        assert_eq!(ranges(b"bytes=0-0", 100, 0), Whole);
    }

    proptest! {
        #[test]
        fn ranges_never_cover_more_than_the_file(
            set in "bytes=([0-9]{0,4}-[0-9]{0,4},?){0,20}",
            length in 0..3000_u64,
        ) {
            if let Ranges::Parts(parts) = ranges(set.as_bytes(), length, 16) {
                prop_assert!(!parts.is_empty() && parts.len() <= 16);
                let total: u64 = parts.iter().map(|part| part.end - part.start).sum();
                prop_assert!(total <= length);
                for (index, part) in parts.iter().enumerate() {
                    prop_assert!(part.start < part.end && part.end <= length);
                    for other in &parts[index + 1..] {
                        prop_assert!(part.end <= other.start || other.end <= part.start);
                    }
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(value in prop::collection::vec(any::<u8>(), 0..40), length: u64) {
            let _ = ranges(&value, length, 16);
            let _ = ranges(&[b"bytes=", &value[..]].concat(), length, 16);
        }
    }
}
