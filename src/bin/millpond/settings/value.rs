//! Values as text: times, sizes, numbers, switches, choices, lists.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use millpond::config::TrustedPeer;
use millpond::handlers::FieldRule;

/// The form of a value that was expected, to follow the word "expected" in an error.
pub(crate) type Expected = String;

/// The longest time that can be set: a year.
const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

const TIMES: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

const SIZES: [(&str, u64); 14] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

/// A time: seconds, or a sum of numbers with units: `2.5`, `250ms`, `1m30s`.
pub(crate) fn time(text: &str) -> Result<Duration, Expected> {
    let wrong = || "a time up to a year, such as 10s, 250ms or 1m30s".to_owned();
    let text = text.trim();
    let bounded = |time| if time <= MAX_TIME { Ok(time) } else { Err(wrong()) };
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong()).and_then(bounded);
    }
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let scale = TIMES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let nanos = number * scale as f64;
        let part = Duration::try_from_secs_f64(nanos / 1e9).map_err(|_| wrong())?;
        sum = sum.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() { Err(wrong()) } else { bounded(sum) }
}

/// The shortest text that [`time`] reads as this time.
pub(crate) fn time_text(time: Duration) -> String {
    let nanos = time.as_nanos();
    for (unit, scale) in TIMES.into_iter().take(4).rev() {
        if nanos.is_multiple_of(u128::from(scale)) {
            return format!("{}{unit}", nanos / u128::from(scale));
        }
    }
    format!("{nanos}ns")
}

/// A number of bytes: `65536`, `64KiB`, `64k` (the same), `1GiB`, `1GB` (a thousand million).
pub(crate) fn size(text: &str) -> Result<u64, Expected> {
    let wrong = || "a size in bytes, such as 65536, 64KiB or 1GiB".to_owned();
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let scale = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(scale).ok_or_else(wrong)
}

/// The same in the type of a field.
pub(crate) fn size_as<T: TryFrom<u64>>(text: &str) -> Result<T, Expected> {
    size(text)?.try_into().map_err(|_| "a size that this machine can address".to_owned())
}

/// The shortest text that [`size`] reads as this size.
pub(crate) fn size_text(size: u64) -> String {
    for (unit, scale) in [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if size >= scale && size.is_multiple_of(scale) {
            return format!("{}{unit}", size / scale);
        }
    }
    size.to_string()
}

/// A whole number.
pub(crate) fn number<T: FromStr>(text: &str) -> Result<T, Expected> {
    text.trim().parse().map_err(|_| "a number in the range of the setting".to_owned())
}

/// Any text.
#[expect(clippy::unnecessary_wraps, reason = "the table calls each parser by this signature")]
pub(crate) fn any(text: &str) -> Result<String, Expected> {
    Ok(text.trim().to_owned())
}

/// A switch: true or false.
pub(crate) fn switch(text: &str) -> Result<bool, Expected> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// An optional value; `none` is no value.
pub(crate) fn optional<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, Expected>,
) -> Result<Option<T>, Expected> {
    match text.trim() {
        "none" => Ok(None),
        text => parse(text).map(Some).map_err(|expected| format!("{expected}, or none")),
    }
}

/// The text that [`optional`] reads as this value.
pub(crate) fn optional_text<T>(value: Option<&T>, text: impl FnOnce(&T) -> String) -> String {
    value.map_or_else(|| "none".to_owned(), text)
}

/// Two whole numbers: `1-3`.
pub(crate) fn range(text: &str) -> Result<(u32, u32), Expected> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (number(low), number(high)) {
        (Ok(low), Ok(high)) => Ok((low, high)),
        _ => Err("a range of seconds, such as 1-3".to_owned()),
    }
}

/// The words of a table for [`choice`].
pub(crate) const fn names<T: Copy, const N: usize>(
    words: &[(&'static str, T); N],
) -> [&'static str; N] {
    let mut names = [""; N];
    let mut i = 0;
    // A const fn has no iterators.
    while i < N {
        names[i] = words[i].0;
        i += 1;
    }
    names
}

/// One of several words.
pub(crate) fn choice<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Expected> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text.trim()));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        format!("one of {}", names.join(", "))
    })
}

/// The word that [`choice`] reads as this value.
pub(crate) fn choice_text<T: PartialEq>(value: &T, words: &[(&str, T)]) -> String {
    words.iter().find(|(_, v)| v == value).map_or_else(String::new, |(word, _)| (*word).to_owned())
}

/// Entries of a table, each as `KEY=VALUE`.
pub(crate) fn pairs<K: FromStr + Ord>(
    texts: &[String],
    expected: &str,
) -> Result<BTreeMap<K, String>, Expected> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=')?;
        Some((key.trim().parse().ok()?, value.trim().to_owned()))
    };
    texts.iter().map(|text| pair(text).ok_or_else(|| expected.to_owned())).collect()
}

/// Proxies that are trusted: networks, addresses, `unix`.
pub(crate) fn trusted_peers(texts: &[String]) -> Result<Vec<TrustedPeer>, Expected> {
    let wrong = || {
        "networks without bits behind their prefix, such as 10.0.0.0/8 or 2001:db8::/32, \
         addresses, or unix"
            .to_owned()
    };
    texts.iter().map(|text| text.trim().parse().map_err(|_| wrong())).collect()
}

/// A response field for some paths: `[PATTERN ]NAME: VALUE`. Without a pattern, for all paths.
pub(crate) fn rule(text: &str) -> Result<FieldRule, Expected> {
    let wrong = || "a rule, such as \"/assets/** Cache-Control: max-age=3600\"".to_owned();
    let (left, value) = text.split_once(':').ok_or_else(wrong)?;
    let (pattern, name) = left.trim().rsplit_once(char::is_whitespace).unwrap_or(("**", left));
    let (pattern, name) = (pattern.trim(), name.trim());
    if name.is_empty() || pattern.is_empty() {
        return Err(wrong());
    }
    Ok(FieldRule::new(pattern, name, value.trim()))
}

/// The text that [`rule`] reads as this rule.
pub(crate) fn rule_text(rule: &FieldRule) -> String {
    format!("{} {}: {}", rule.pattern, rule.name, rule.value)
}

/// The text of a value that displays itself.
pub(crate) fn text(value: &impl Display) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds_or_has_units() {
        let table = [
            ("10", 10_000),
            ("2.5", 2_500),
            ("250ms", 250),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("8760h", 31_536_000_000),
            ("0", 0),
        ];
        for (text, millis) in table {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "s",
            "10 s",
            "-1",
            "1x",
            "ten",
            "nan",
            "inf",
            "1e300",
            "1e19",
            "8761h",
            "9999999999999999999999h",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_is_a_number_of_bytes_or_has_a_unit() {
        let table =
            [("0", 0), ("65536", 65_536), ("64KiB", 65_536), ("64k", 65_536), ("1MB", 1_000_000)];
        for (text, bytes) in table {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "-1", "1.5k", "KiB", "1XiB", "99999999999999999999", "99999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_printed_value_is_parsed_as_the_same_value() {
        for millis in [0, 1, 100, 1_500, 60_000, 86_400_000] {
            let value = Duration::from_millis(millis);
            assert_eq!(time(&time_text(value)), Ok(value));
        }
        for value in [0, 1, 1023, 1024, 65_536, 1 << 30, (1 << 30) + 1] {
            assert_eq!(size(&size_text(value)), Ok(value));
        }
        assert_eq!(time_text(Duration::from_secs(90)), "90s");
        assert_eq!(size_text(65_536), "64KiB");
    }

    #[test]
    fn pairs_have_a_key_and_a_value() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let map = pairs::<u16>(&texts(&["404=a=b", "500 = c"]), "pair").unwrap();
        assert_eq!(map, BTreeMap::from([(404, "a=b".to_owned()), (500, "c".to_owned())]));
        assert!(pairs::<u16>(&texts(&["404"]), "pair").is_err());
        assert!(pairs::<u16>(&texts(&["four=a"]), "pair").is_err());
    }

    #[test]
    fn a_rule_without_a_pattern_is_for_all_paths() {
        let table = [
            ("X-A: b: c", ("**", "X-A", "b: c")),
            ("/a b/** X-A:", ("/a b/**", "X-A", "")),
            ("*.html  Cache-Control: no-cache", ("*.html", "Cache-Control", "no-cache")),
        ];
        for (text, (pattern, name, value)) in table {
            let read = rule(text).unwrap();
            let parts = (read.pattern.as_str(), read.name.as_str(), read.value.as_str());
            assert_eq!(parts, (pattern, name, value));
            assert_eq!(rule(&rule_text(&read)), Ok(read));
        }
        assert!(rule("X-A").is_err());
        assert!(rule(": b").is_err());
    }

    #[test]
    fn a_range_needs_two_numbers() {
        assert_eq!(range("1-3"), Ok((1, 3)));
        assert_eq!(range("2"), Ok((2, 2)));
        assert!(range("1-").is_err());
    }
}
