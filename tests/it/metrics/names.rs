//! The rules for names: <https://prometheus.io/docs/practices/naming/>.

use std::collections::BTreeSet;

use super::exposition::{expositions, plain};

/// Labels, each with the values that it may have; empty for those that a server's endpoints fix.
const LABELS: &[(&str, usize)] = &[
    ("certificate", 64),
    ("class", 5),
    ("le", 15),
    ("listener", 1),
    ("outcome", 6),
    ("reason", 40),
    ("result", 6),
    ("state", 2),
    ("version", 1),
];

#[test]
fn names_have_a_prefix_and_end_in_their_unit() {
    for (_, families) in expositions() {
        for (name, family) in &families {
            assert!(name.starts_with("millpond_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            let plain = plain(name, family);
            for reserved in ["_total", "_count", "_sum", "_bucket", "_created", "_info"] {
                assert!(!plain.ends_with(reserved), "{name}");
            }
            for unit in ["millis", "micros", "milliseconds", "percent", "kib", "_ms", "_us"] {
                assert!(!plain.contains(unit), "{name}");
            }
            // A time, a size and a ratio has its unit at its end.
            let (help, kind) = (family.help.to_lowercase(), family.kind.as_str());
            let is_time =
                ["cpu time", "the wait ", "the age", "when ", "times to", "times that work"];
            if is_time.iter().any(|words| help.starts_with(words)) {
                assert!(plain.ends_with("_seconds"), "{name}: {help}");
            }
            assert_eq!(
                kind == "histogram",
                plain.ends_with("wait_seconds") || plain == "millpond_service_seconds",
                "{name}"
            );
        }
    }
}

#[test]
fn a_label_has_a_fixed_set_of_values() {
    for (_, families) in expositions() {
        for family in families.values() {
            for (label, most) in LABELS {
                let of = |sample: &super::parser::Sample| {
                    let found = sample.labels.iter().find(|(name, _)| name == label);
                    found.map(|(_, value)| value.clone())
                };
                let values: BTreeSet<_> = family.samples.iter().filter_map(of).collect();
                assert!(values.len() <= *most, "{label}: {values:?}");
            }
            for sample in &family.samples {
                for (label, value) in &sample.labels {
                    assert!(LABELS.iter().any(|(known, _)| known == label), "{sample:?}");
                    assert!(!value.is_empty(), "{sample:?}");
                }
            }
        }
    }
}
