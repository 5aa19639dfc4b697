//! The field in which a client sends how long it waits for the response: `2`, `0.5`, `250ms`,
//! `1.5s`.

use std::time::Duration;

/// The most digits of the number. A longer one is ignored.
const DIGITS_MAX: usize = 12;

/// Parses a number of seconds, or a number with the unit `ms`, `s` or `m`. `None`: anything else,
/// which is ignored.
pub(super) fn parse(value: &[u8]) -> Option<Duration> {
    let end = value.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(value.len());
    let (number, unit) = value.split_at(end);
    let scale = match unit.trim_ascii() {
        b"" | b"s" => 1.0,
        b"ms" => 1e-3,
        b"m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(decimal(number, DIGITS_MAX)? * scale).ok()
}

/// Parses a number without a sign and without an exponent, of at most `max` characters: `2`, `0.5`.
pub(super) fn decimal(text: &[u8], max: usize) -> Option<f64> {
    let is_part = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    if text.len() > max || !text.first()?.is_ascii_digit() || !text.iter().all(is_part) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seconds_and_units_are_parsed_and_anything_else_is_ignored() {
        let millis = |millis| Some(Duration::from_millis(millis));
        for (text, expected) in [
            ("2", millis(2000)),
            ("0", millis(0)),
            ("0.25", millis(250)),
            ("1.5s", millis(1500)),
            ("250ms", millis(250)),
            ("250 ms", millis(250)),
            ("2m", millis(120_000)),
            ("", None),
            ("ms", None),
            (".5", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("1.2.3", None),
            ("5 fortnights", None),
            ("9999999999999", None),
            ("nan", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn milliseconds_are_parsed_as_they_were_written(millis in 0_u64..1_000_000_000) {
            let expected = Duration::from_millis(millis);
            let read = parse(format!("{millis}ms").as_bytes()).unwrap();
            prop_assert!(read.abs_diff(expected) < Duration::from_micros(1), "{read:?}");
        }

        #[test]
        fn no_value_makes_it_panic(value in "[-+0-9.a-zA-Z ]{0,20}") {
            let _ = parse(value.as_bytes());
        }
    }
}
