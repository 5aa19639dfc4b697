//! A line of the access log: a request and its response, in printable text.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use millpond::http::header::{HOST, HeaderValue, REFERER, USER_AGENT};
use millpond::http::{Method, Request, Response, TraceParent, Uri, Version};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::escape::escape_into;
use crate::settings::AccessLogFormat;

/// Bytes of each field that a client sent which a line can have, so that its length is bounded.
const MAX_CLIENT_TEXT: usize = 2048;

/// The parts of a request that its line has, kept while the handler uses the request.
#[derive(Debug)]
pub(crate) struct RequestSummary {
    client: Option<SocketAddr>,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    version: Version,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    /// The time in the queue.
    queue_wait: Duration,
    /// The trace and the id of the request, which only the format JSON has.
    trace_parent: Option<TraceParent>,
    request_id: Option<HeaderValue>,
}

impl RequestSummary {
    pub(crate) fn new(request: &Request, format: AccessLogFormat) -> Self {
        let traced = (format == AccessLogFormat::Json).then_some(request);
        let request_id = traced.and_then(Request::request_id);
        Self {
            client: request.client_addr(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            host: request.headers().get(HOST).cloned(),
            version: request.version(),
            referer: request.headers().get(REFERER).cloned(),
            user_agent: request.headers().get(USER_AGENT).cloned(),
            queue_wait: request.queue_wait(),
            trace_parent: traced.and_then(Request::trace_parent),
            request_id: request_id.and_then(|id| HeaderValue::from_str(id).ok()),
        }
    }

    /// The line with its line feed; `None` if the format is off.
    pub(crate) fn line(
        &self,
        format: AccessLogFormat,
        response: &Response,
        service: Duration,
        now: OffsetDateTime,
    ) -> Option<Vec<u8>> {
        // A response to HEAD ends after its header section (RFC 9110 §9.3.2).
        let is_head = self.method == Method::HEAD;
        let length = if is_head { Some(0) } else { response.body().length() };
        let outcome = (response.status().as_u16(), length);
        match format {
            AccessLogFormat::Off => None,
            AccessLogFormat::Clf => Some(self.clf(outcome, now, false)),
            AccessLogFormat::Combined => Some(self.clf(outcome, now, true)),
            AccessLogFormat::Json => Some(self.json(outcome, now, service)),
        }
    }

    /// The common log format, or with `combined` the combined one.
    fn clf(
        &self,
        (status, bytes): (u16, Option<u64>),
        now: OffsetDateTime,
        combined: bool,
    ) -> Vec<u8> {
        let mut line = Vec::with_capacity(160);
        let client = self.client.map(|client| client.ip().to_string());
        let _ = write!(line, "{} - - [", client.as_deref().unwrap_or("-"));
        let format =
            format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
        let _ = now.format_into(&mut line, format);
        line.extend_from_slice(b"] \"");
        escape(&mut line, self.method.as_str().as_bytes());
        line.push(b' ');
        escape(&mut line, self.uri.to_string().as_bytes());
        let _ = write!(line, " {:?}\" {status} ", self.version);
        match bytes {
            Some(bytes) => write!(line, "{bytes}"),
            None => write!(line, "-"),
        }
        .unwrap_or_default();
        if combined {
            for field in [&self.referer, &self.user_agent] {
                line.extend_from_slice(b" \"");
                escape(&mut line, field.as_ref().map_or(b"-", |value| value.as_bytes()));
                line.push(b'"');
            }
        }
        line.push(b'\n');
        line
    }

    fn json(
        &self,
        (status, bytes): (u16, Option<u64>),
        now: OffsetDateTime,
        service: Duration,
    ) -> Vec<u8> {
        let mut line = String::with_capacity(256);
        line.push_str("{\"time\":\"");
        let format = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        line.push_str(&now.format(format).unwrap_or_default());
        line.push('"');
        let client = self.client.map(|client| client.ip().to_string());
        member(&mut line, "client", client.as_deref().map(str::as_bytes));
        member(&mut line, "method", Some(self.method.as_str().as_bytes()));
        member(&mut line, "target", Some(self.uri.to_string().as_bytes()));
        member(&mut line, "host", self.host.as_ref().map(HeaderValue::as_bytes));
        member(&mut line, "version", Some(format!("{:?}", self.version).as_bytes()));
        let _ = write!(line, ",\"status\":{status}");
        if let Some(bytes) = bytes {
            let _ = write!(line, ",\"bytes\":{bytes}");
        }
        let (wait, service) = (self.queue_wait.as_micros(), service.as_micros());
        let _ = write!(line, ",\"wait_us\":{wait},\"service_us\":{service}");
        member(&mut line, "referer", self.referer.as_ref().map(HeaderValue::as_bytes));
        member(&mut line, "user_agent", self.user_agent.as_ref().map(HeaderValue::as_bytes));
        member(&mut line, "request_id", self.request_id.as_ref().map(HeaderValue::as_bytes));
        let trace_parent = self.trace_parent.map(|parent| parent.to_string());
        member(&mut line, "traceparent", trace_parent.as_deref().map(str::as_bytes));
        line.push_str("}\n");
        line.into_bytes()
    }
}

/// Appends bytes as printable ASCII without quotes. Other bytes become `\xHH`, so that a client can
/// neither forge a line nor send escape sequences to a terminal.
fn escape(line: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes.iter().take(MAX_CLIENT_TEXT) {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => line.push(byte),
            _ => {
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
}

/// Appends a comma and a member of a JSON object; nothing if there is no value.
fn member(line: &mut String, name: &str, value: Option<&[u8]>) {
    let Some(value) = value else { return };
    let _ = write!(line, ",\"{name}\":\"");
    let cut = &value[..value.len().min(MAX_CLIENT_TEXT)];
    escape_into(line, &String::from_utf8_lossy(cut));
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn line(format: AccessLogFormat, user_agent: &[u8]) -> String {
        let request = millpond::http::Request::from(
            http::Request::builder()
                .uri("/a\"b?c")
                .header(HOST, "a.test")
                .header(USER_AGENT, HeaderValue::from_bytes(user_agent).unwrap())
                .body(millpond::http::Body::empty())
                .unwrap(),
        );
        let now = datetime!(2026-11-24 09:08:07.006 UTC);
        let summary = RequestSummary::new(&request, format);
        let line = summary.line(format, &Response::text("abc"), Duration::from_micros(1500), now);
        line.map_or_else(String::new, |line| String::from_utf8(line).unwrap())
    }

    #[test]
    fn each_format_has_its_documented_fields() {
        let common = "- - - [24/Nov/2026:09:08:07 +0000] \"GET /a\\\"b?c HTTP/1.1\" 200 3";
        assert_eq!(line(AccessLogFormat::Off, b""), "");
        assert_eq!(line(AccessLogFormat::Clf, b"quern"), format!("{common}\n"));
        assert_eq!(
            line(AccessLogFormat::Combined, b"quern"),
            format!("{common} \"-\" \"quern\"\n")
        );
        assert_eq!(
            line(AccessLogFormat::Json, b"quern"),
            "{\"time\":\"2026-11-24T09:08:07.006Z\",\"method\":\"GET\",\"target\":\"/a\\\"b?c\",\
             \"host\":\"a.test\",\"version\":\"HTTP/1.1\",\"status\":200,\"bytes\":3,\
             \"wait_us\":0,\"service_us\":1500,\"user_agent\":\"quern\"}\n"
        );
    }

    #[test]
    fn a_response_to_head_has_no_bytes() {
        let request = http::Request::head("/").body(millpond::http::Body::empty()).unwrap();
        let summary = RequestSummary::new(&request.into(), AccessLogFormat::Clf);
        let now = datetime!(2026-11-24 09:08:07 UTC);
        let line = summary
            .line(AccessLogFormat::Clf, &Response::text("abc"), Duration::ZERO, now)
            .unwrap();
        assert!(String::from_utf8(line).unwrap().ends_with("\"HEAD / HTTP/1.1\" 200 0\n"));
    }

    #[test]
    fn text_of_a_client_cannot_leave_its_field() {
        let combined = line(AccessLogFormat::Combined, b"a\" \\\xff\tb");
        assert!(combined.ends_with("\"a\\\" \\\\\\xff\\x09b\"\n"), "{combined}");
        let json = line(AccessLogFormat::Json, b"a\" \\\xff\tb");
        assert!(json.ends_with("\"a\\\" \\\\\u{fffd}\\u0009b\"}\n"), "{json}");
    }

    #[test]
    fn the_json_line_has_the_trace_and_the_id_of_the_request_if_they_are_valid() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let now = datetime!(2026-11-24 09:08:07 UTC);
        let line = |id: &str, parent: &str| {
            let request = http::Request::builder().uri("/");
            let request = request.header("x-request-id", id).header("traceparent", parent);
            let request = request.body(millpond::http::Body::empty()).unwrap().into();
            let summary = RequestSummary::new(&request, AccessLogFormat::Json);
            let (response, format) = (Response::text("abc"), AccessLogFormat::Json);
            let line = summary.line(format, &response, Duration::ZERO, now).unwrap();
            String::from_utf8(line).unwrap()
        };
        let valid = line("quern-7", parent);
        let end = format!("\"request_id\":\"quern-7\",\"traceparent\":\"{parent}\"}}\n");
        assert!(valid.ends_with(&end), "{valid}");
        let invalid = line("quern\"7", &parent.to_uppercase());
        assert!(!invalid.contains("request_id") && !invalid.contains("traceparent"), "{invalid}");
    }

    #[test]
    fn the_length_of_a_line_is_bounded() {
        assert!(line(AccessLogFormat::Combined, &[b'a'; 60_000]).len() < 2 * MAX_CLIENT_TEXT);
        assert!(line(AccessLogFormat::Json, &[b'a'; 60_000]).len() < 2 * MAX_CLIENT_TEXT);
    }
}
