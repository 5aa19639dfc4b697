//! `X-Request-Start`: when a proxy in front of the server received the request. It is a Unix time,
//! with or without `t=` before it: `t=1512379167.574` (seconds, as nginx writes it),
//! `1512379167574` (milliseconds, as Heroku does) or `t=1512379167574000` (microseconds).

use std::time::Duration;

use super::timeout_field::decimal;

/// The most characters of the number. A longer one is ignored.
const CHARACTERS_MAX: usize = 24;

/// A clock may be ahead of this machine's by this much.
const AHEAD_MAX: Duration = Duration::from_secs(1);

/// An older request was not kept by a proxy: the value is wrong.
const AGE_MAX: Duration = Duration::from_secs(60);

/// How long ago the request was received, at the Unix time `now`. `None`: the value is malformed or
/// implausible, that is more than a second in the future or older than a minute, and is ignored.
pub(crate) fn request_age(value: &[u8], now: Duration) -> Option<Duration> {
    let value = value.trim_ascii();
    let number = decimal(value.strip_prefix(b"t=").unwrap_or(value), CHARACTERS_MAX)?;
    // The units are so far apart that at most one of them is plausible.
    [1.0, 1e-3, 1e-6].into_iter().find_map(|unit| {
        let start = Duration::try_from_secs_f64(number * unit).ok()?;
        let is_plausible = start <= now + AHEAD_MAX && start + AGE_MAX >= now;
        is_plausible.then(|| now.saturating_sub(start))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1512379168.074, half a second after the request was received.
    const NOW: Duration = Duration::from_millis(1_512_379_168_074);

    #[test]
    fn seconds_milliseconds_and_microseconds_are_read_and_implausible_values_ignored() {
        let millis = |millis| Some(Duration::from_millis(millis));
        for (text, expected) in [
            ("t=1512379167.574", millis(500)),
            ("1512379167.574", millis(500)),
            ("t=1512379167574", millis(500)),
            ("1512379167574", millis(500)),
            ("t=1512379167574000", millis(500)),
            ("1512379167574000", millis(500)),
            ("1512379167574.000", millis(500)),
            (" t=1512379168 ", millis(74)),
            // A clock that is ahead.
            ("t=1512379168.974", millis(0)),
            ("t=1512379169.174", None),
            ("t=1512379268", None),
            // An old request.
            ("t=1512379109", millis(59_074)),
            ("t=1512379108", None),
            ("t=0", None),
            ("", None),
            ("t=", None),
            ("t=-1512379167.574", None),
            ("+1512379167.574", None),
            ("T=1512379167.574", None),
            ("t=.5", None),
            ("t=1512379167.574.1", None),
            ("t=1512379167,574", None),
            ("t=1512379167.574, t=1512379167.600", None),
            ("t=1.512379167574e9", None),
            ("t=inf", None),
            ("t=1512379167574000000", None),
            ("t=1512379167.5740000000000000000000000", None),
        ] {
            let age = request_age(text.as_bytes(), NOW);
            let age =
                age.map(|age| Duration::from_millis((age.as_secs_f64() * 1e3).round() as u64));
            assert_eq!(age, expected, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn no_value_makes_it_panic_and_no_age_is_above_a_minute(
            value in "(t=)?[-+0-9.a-zA-Z ]{0,20}",
            now in 0_u64..20_000_000_000,
        ) {
            if let Some(age) = request_age(value.as_bytes(), Duration::from_secs(now)) {
                prop_assert!(age <= AGE_MAX);
            }
        }
    }
}
