//! A strict parser of the two text formats: it takes what both formats allow, in the order in which
//! they demand it, and panics at anything else.

use std::collections::BTreeMap;

use millpond::metrics::OPENMETRICS;

/// A family of metrics.
#[derive(Debug, Default)]
pub(super) struct ParsedFamily {
    pub(super) help: String,
    pub(super) kind: String,
    pub(super) unit: Option<String>,
    pub(super) samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
}

/// The families of a text by their names, which in OpenMetrics are without `_total`.
pub(super) type Exposition = BTreeMap<String, ParsedFamily>;

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `{a="b",c="d"}`, or nothing.
fn labels(mut text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    if text.is_empty() {
        return found;
    }
    text = text.strip_prefix('{').expect("a label set begins with a brace");
    loop {
        let (name, rest) = text.split_once("=\"").unwrap_or_else(|| panic!("no label in {text}"));
        assert!(is_name(name), "{name}");
        let mut value = String::new();
        let mut letters = rest.chars();
        loop {
            match letters.next().expect("a value has an end") {
                '"' => break,
                '\\' => value.push(match letters.next() {
                    Some('n') => '\n',
                    Some(letter @ ('"' | '\\')) => letter,
                    other => panic!("{other:?} is escaped"),
                }),
                letter => value.push(letter),
            }
        }
        assert!(found.iter().all(|(other, _)| other != name), "{name} comes twice");
        found.push((name.to_owned(), value));
        text = match letters.as_str() {
            "}" => return found,
            rest => rest.strip_prefix(',').unwrap_or_else(|| panic!("{rest}")),
        };
    }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let at = series.find('{').unwrap_or(series.len());
    let value = match value {
        "+Inf" => f64::INFINITY,
        number => number.parse().unwrap_or_else(|_| panic!("no number: {line}")),
    };
    let name = series[..at].to_owned();
    assert!(is_name(&name), "{line}");
    Sample { name, labels: labels(&series[at..]), value }
}

/// Parses a text with this content type.
pub(super) fn parse(content_type: &str, text: &str) -> Exposition {
    let is_open = content_type == OPENMETRICS;
    let mut body = text;
    if is_open {
        body = text.strip_suffix("# EOF\n").expect("the last line is # EOF");
    }
    assert!(body.ends_with('\n') && !body.contains("# EOF"), "{body}");
    let mut families = Exposition::new();
    let mut current: Option<String> = None;
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
            assert!(is_name(name) && !help.is_empty(), "{line}");
            let family = ParsedFamily { help: help.to_owned(), ..ParsedFamily::default() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} comes twice");
            current = Some(name.to_owned());
            continue;
        }
        let name = current.clone().unwrap_or_else(|| panic!("no family yet: {line}"));
        let family = families.get_mut(&name).unwrap();
        if let Some(kind) = line.strip_prefix(&format!("# TYPE {name} ")) {
            assert!(family.kind.is_empty() && family.samples.is_empty(), "{line}");
            let known: &[&str] = match is_open {
                true => &["counter", "gauge", "histogram", "info"],
                false => &["counter", "gauge", "histogram"],
            };
            assert!(known.contains(&kind), "{line}");
            family.kind = kind.to_owned();
        } else if let Some(unit) = line.strip_prefix(&format!("# UNIT {name} ")) {
            assert!(is_open && family.samples.is_empty() && !family.kind.is_empty(), "{line}");
            assert!(name.ends_with(&format!("_{unit}")), "{line}");
            family.unit = Some(unit.to_owned());
        } else {
            assert!(!line.starts_with('#') && !family.kind.is_empty(), "{line}");
            family.samples.push(sample(line));
        }
    }
    families
}

/// The value of the only series with this name and these labels.
#[track_caller]
pub(super) fn value(families: &Exposition, name: &str, labels: &[(&str, &str)]) -> f64 {
    let is_wanted = |sample: &&Sample| {
        sample.name == name
            && sample
                .labels
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .eq(labels.iter().copied())
    };
    let samples = families.values().flat_map(|family| &family.samples);
    let found: Vec<_> = samples.filter(is_wanted).collect();
    assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
    found[0].value
}

#[test]
fn the_parser_reads_a_sample_and_refuses_what_is_malformed() {
    let text = "# HELP a_seconds b c\n# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n\
                a_seconds{x=\"1\\\\\\\"\",y=\"\"} 0.5\n# EOF\n";
    let families = parse(OPENMETRICS, text);
    assert_eq!(value(&families, "a_seconds", &[("x", "1\\\""), ("y", "")]), 0.5);
    assert_eq!(families["a_seconds"].unit.as_deref(), Some("seconds"));
    let malformed = [
        text.replace("# EOF\n", ""),
        text.replace("# HELP a_seconds b c\n", ""),
        text.replace("# TYPE a_seconds gauge\n", ""),
        text.replace("gauge", "number"),
        text.replace("# UNIT a_seconds seconds", "# UNIT a_seconds bytes"),
        text.replace("a_seconds{", "a seconds{"),
        text.replace("0.5", "half"),
        text.replace("y=", "x="),
        text.replace("\"}", "}"),
        text.replace("# EOF", "\n# EOF"),
    ];
    for text in malformed {
        let parsed = std::panic::catch_unwind(|| parse(OPENMETRICS, &text));
        assert!(parsed.is_err(), "{text}");
    }
}
