//! `endpoint-load-metrics`: a load report for a balancer, in the text format of ORCA (Open Request
//! Cost Aggregation; `xds.data.orca.v3.OrcaLoadReport` has the names).

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::Config;
use crate::http::message::Response;
use crate::net::Addr;
use crate::pool::server_view::{LoadReport, ServerView};

/// The request field in which a balancer asks for a report, and in which format.
const FORMAT: HeaderName = HeaderName::from_static("endpoint-load-metrics-format");
const METRICS: HeaderName = HeaderName::from_static("endpoint-load-metrics");

/// Whether the peer may have reports: they show the load that others cause.
pub(super) fn is_trusted(config: &Config, peer: &Addr) -> bool {
    config.proxy.trusts(peer)
}

/// Whether the client asks for a report in the text format.
pub(super) fn is_asked_for(request: &HeaderMap) -> bool {
    request.get(FORMAT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"text"))
}

/// Adds the report, in place of one of the handler.
#[inline(never)]
pub(super) fn add(response: &mut Response, server: &ServerView) {
    if let Ok(value) = HeaderValue::try_from(text(server.load_report())) {
        response.headers_mut().insert(METRICS, value);
    }
}

fn text(report: LoadReport) -> String {
    let LoadReport { cpu_utilization, application_utilization, served, errors } = report;
    format!(
        "TEXT cpu_utilization={cpu_utilization:.3}, \
         application_utilization={application_utilization:.3}, rps_fractional={served:.1}, \
         eps={errors:.1}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_made_for_the_text_format_alone() {
        for (value, expected) in [("text", true), ("TEXT", true), ("json", false), ("", false)] {
            let mut request = HeaderMap::new();
            assert!(!is_asked_for(&request));
            request.insert(FORMAT, HeaderValue::from_static(value));
            assert_eq!(is_asked_for(&request), expected, "{value}");
        }
    }

    #[test]
    fn the_report_has_names_and_decimal_numbers() {
        let report = LoadReport {
            cpu_utilization: 0.25,
            application_utilization: 0.061_25,
            served: 1200.0,
            errors: 0.0,
        };
        assert_eq!(
            text(report),
            "TEXT cpu_utilization=0.250, application_utilization=0.061, rps_fractional=1200.0, \
             eps=0.0"
        );
    }
}
