//! docs/observability.md has a row for each metric, and no other.

use std::collections::BTreeSet;
use std::path::Path;

use super::exposition::{expositions, plain};

/// What a server without TLS does not report, and what a system may not: a sandbox without
/// `AF_NETLINK` or /proc, or a kernel before 6.2.
const OPTIONAL: &[&str] = &[
    "millpond_accept_queue_length",
    "millpond_accept_queue_limit",
    "millpond_kernel_listen_drops",
    "millpond_kernel_listen_overflows",
    "millpond_tls_certificate_expiry_timestamp_seconds",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
];

fn document() -> String {
    read("docs/observability.md")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The names in the first column of the tables, without the suffixes of samples.
fn documented() -> BTreeSet<String> {
    let text = document();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name);
    let metric = |name: &&str| name.starts_with("millpond_") || name.starts_with("process_");
    let bare = |name: &str| {
        let name = name.split('{').next().unwrap();
        let name = name.strip_suffix("_total").unwrap_or(name);
        name.strip_suffix("_info").unwrap_or(name).to_owned()
    };
    names.filter(metric).map(bare).collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let documented = documented();
    let [_, (_, families)] = expositions();
    let reported: BTreeSet<_> = families.iter().map(|(name, family)| plain(name, family)).collect();
    let missing: Vec<_> = reported.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/observability.md: {missing:?}");
    let gone: Vec<_> = documented
        .difference(&reported)
        .filter(|name| !OPTIONAL.contains(&name.as_str()))
        .collect();
    assert!(gone.is_empty(), "no such metric: {gone:?}");
}

#[test]
fn a_query_of_the_document_or_the_dashboard_names_only_metrics_that_exist() {
    let [_, (_, families)] = expositions();
    let dashboard = read("docs/grafana.json");
    serde_json::from_str::<serde_json::Value>(&dashboard).unwrap();
    let text = document() + &dashboard;
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter: char| !is_part(letter));
    let mut checked = 0;
    for word in words.filter(|word| word.starts_with("millpond_")) {
        let exists = families.iter().any(|(name, family)| {
            name == word || family.samples.iter().any(|sample| sample.name == word)
        });
        let optional = OPTIONAL.iter().any(|name| word.starts_with(name));
        assert!(exists || optional, "{word}");
        checked += 1;
    }
    assert!(checked > 80, "{checked}");
}
