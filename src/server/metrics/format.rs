//! The content type of a scrape.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};

use crate::http::accept::weighted;

/// The content type of the OpenMetrics text format.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The content type of the text format of Prometheus.
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The content type for a client with this field `Accept`: [`OPENMETRICS`] for a client that names
/// that type with at least the weight of `text/plain`, and otherwise [`PROMETHEUS`].
///
/// # Examples
/// ```
/// use millpond::metrics::{OPENMETRICS, PROMETHEUS, content_type};
///
/// let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2,*/*;q=0.1";
/// assert_eq!(content_type(Some(prometheus)), OPENMETRICS);
/// assert_eq!(content_type(Some("*/*")), PROMETHEUS);
/// ```
#[must_use]
pub fn content_type(accept: Option<&str>) -> &'static str {
    let Some(Ok(value)) = accept.map(HeaderValue::from_str) else { return PROMETHEUS };
    let headers = HeaderMap::from_iter([(ACCEPT, value)]);
    let weight = |kind: &[u8]| {
        let ranges = weighted(&headers, &ACCEPT);
        ranges.filter(|(range, _)| range.eq_ignore_ascii_case(kind)).map(|(_, weight)| weight).max()
    };
    match (weight(b"application/openmetrics-text"), weight(b"text/plain")) {
        (Some(openmetrics), text) if openmetrics > 0 && Some(openmetrics) >= text => OPENMETRICS,
        _ => PROMETHEUS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_openmetrics_only_if_it_names_it() {
        // The first is what Prometheus 3 sends.
        let table = [
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                 text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                OPENMETRICS,
            ),
            ("application/openmetrics-text", OPENMETRICS),
            ("text/plain, application/openmetrics-text", OPENMETRICS),
            ("text/plain, application/openmetrics-text;q=0.9", PROMETHEUS),
            ("application/openmetrics-text;q=0", PROMETHEUS),
            ("application/openmetrics-text;q=x", PROMETHEUS),
            ("application/*", PROMETHEUS),
            ("*/*", PROMETHEUS),
            ("", PROMETHEUS),
            ("\u{1}", PROMETHEUS),
        ];
        for (accept, expected) in table {
            assert_eq!(content_type(Some(accept)), expected, "{accept}");
        }
        assert_eq!(content_type(None), PROMETHEUS);
    }
}
