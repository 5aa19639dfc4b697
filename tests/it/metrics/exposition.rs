//! The rules that `promtool check metrics` enforces, and those of OpenMetrics.

use std::collections::BTreeSet;
use std::io::Write;

use millpond::http::Request;
use millpond::metrics::{self, OPENMETRICS, PROMETHEUS};

use super::parser::{Exposition, ParsedFamily, parse};
use crate::support::{addr, connect, read_response, start_http, until};

const OPEN: Option<&str> = Some("application/openmetrics-text");

/// The texts of a server that has served a request and reloaded its settings, in both formats.
pub(super) fn expositions() -> [(&'static str, Exposition); 2] {
    let server = start_http(2, |_: &mut Request| "hello");
    let mut client = connect(addr(&server));
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_response(&mut client);
    until("it is counted", || server.stats().served == 1);
    server.note_reload(true);
    [OPEN, None].map(|accept| {
        let (content_type, text) = metrics::encode(&server, accept);
        (content_type, parse(content_type, &text))
    })
}

/// The name of a family without the suffix of counters, as OpenMetrics has it.
pub(super) fn plain(name: &str, family: &ParsedFamily) -> String {
    match family.kind.as_str() {
        "counter" => name.strip_suffix("_total").unwrap_or(name).to_owned(),
        _ => name.strip_suffix("_info").unwrap_or(name).to_owned(),
    }
}

#[test]
fn both_formats_have_the_same_families_and_series() {
    let [(open_type, open), (text_type, text)] = expositions();
    assert_eq!((open_type, text_type), (OPENMETRICS, PROMETHEUS));
    let names = |families: &Exposition| -> BTreeSet<String> {
        families.iter().map(|(name, family)| plain(name, family)).collect()
    };
    assert_eq!(names(&open), names(&text));
    let series = |families: &Exposition| {
        let samples = families.values().flat_map(|family| &family.samples);
        // The bounds of buckets are 0.5 in one format where they are 0.50 in the other.
        samples.map(|sample| (sample.name.clone(), sample.labels.len())).collect::<BTreeSet<_>>()
    };
    assert_eq!(series(&open), series(&text));
}

#[test]
fn every_family_has_a_help_a_type_and_the_samples_of_its_type() {
    for (content_type, families) in expositions() {
        assert!(families.len() > 40, "{}", families.len());
        for (name, family) in &families {
            assert!(!family.help.ends_with('.') && family.help.len() < 120, "{name}");
            assert!(!family.samples.is_empty(), "{name}");
            let is_open = content_type == OPENMETRICS;
            let suffixes: &[&str] = match (family.kind.as_str(), is_open) {
                ("counter", true) => &["_total"],
                ("info", true) => &["_info"],
                ("histogram", _) => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            for sample in &family.samples {
                let suffix = sample.name.strip_prefix(name.as_str());
                assert!(suffix.is_some_and(|suffix| suffixes.contains(&suffix)), "{sample:?}");
                assert!(family.kind == "gauge" || sample.value >= 0.0, "{sample:?}");
                assert!(!sample.value.is_nan(), "{sample:?}");
            }
        }
    }
}

#[test]
fn no_series_comes_twice() {
    for (_, families) in expositions() {
        let mut seen = BTreeSet::new();
        for sample in families.values().flat_map(|family| &family.samples) {
            let mut labels = sample.labels.clone();
            labels.sort();
            assert!(seen.insert((sample.name.clone(), labels)), "{sample:?}");
        }
    }
}

#[test]
fn buckets_are_cumulative_and_the_last_one_is_the_count() {
    for (_, families) in expositions() {
        let histograms: Vec<_> =
            families.iter().filter(|(_, family)| family.kind == "histogram").collect();
        assert_eq!(histograms.len(), 2);
        for (name, family) in histograms {
            let of = |suffix: &str| {
                let wanted = format!("{name}{suffix}");
                family.samples.iter().filter(move |sample| sample.name == wanted)
            };
            let bound = |text: &str| match text {
                "+Inf" => f64::INFINITY,
                number => number.parse().unwrap(),
            };
            let buckets: Vec<(f64, f64)> = of("_bucket")
                .map(|sample| {
                    assert_eq!((sample.labels.len(), sample.labels[0].0.as_str()), (1, "le"));
                    (bound(&sample.labels[0].1), sample.value)
                })
                .collect();
            let bounds: Vec<f64> = buckets.iter().map(|(bound, _)| *bound).collect();
            let expected = [
                0.0005,
                0.001,
                0.0025,
                0.005,
                0.01,
                0.025,
                0.05,
                0.1,
                0.25,
                0.5,
                1.0,
                2.5,
                5.0,
                10.0,
                f64::INFINITY,
            ];
            assert_eq!(bounds, expected);
            assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{buckets:?}");
            let single = |suffix| {
                let values: Vec<_> = of(suffix).map(|sample| sample.value).collect();
                assert_eq!(values.len(), 1, "{name}{suffix}");
                values[0]
            };
            assert_eq!(single("_count"), buckets.last().unwrap().1);
            assert_eq!(single("_sum") > 0.0, single("_count") > 0.0);
        }
    }
}
