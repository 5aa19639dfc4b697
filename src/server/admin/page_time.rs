//! Times as the status page shows them.

use std::time::Duration;

/// A time with three digits.
pub(super) fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s >= 600.0 => long(time),
        s if s >= 100.0 => format!("{s:.0} s"),
        s if s >= 1.0 => format!("{s:.1} s"),
        s if s >= 0.1 => format!("{:.0} ms", s * 1e3),
        s if s >= 1e-3 => format!("{:.1} ms", s * 1e3),
        s if s > 0.0 => format!("{:.0} µs", s * 1e6),
        _ => "0".to_owned(),
    }
}

/// A long time in its two highest units.
pub(super) fn long(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_or_three_digits_or_two_units() {
        let table = [
            (0.0, "0"),
            (0.000_05, "50 µs"),
            (0.001_25, "1.2 ms"),
            (0.25, "250 ms"),
            (2.5, "2.5 s"),
            (150.0, "150 s"),
            (3700.0, "1 h 1 min"),
            (90_000.0, "1 d 1 h"),
        ];
        for (seconds, text) in table {
            assert_eq!(short(Duration::from_secs_f64(seconds)), text);
        }
    }
}
