//! A line of the access log: what a request and its answer say, as text without surprises.

use std::borrow::Cow;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use millpond::http::header::{HOST, HeaderValue, REFERER, USER_AGENT};
use millpond::http::{Method, Request, Response, Uri, Version};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::settings::Format;

/// Bytes that are kept of anything that the client chose, so that a line has a bound.
const LONGEST: usize = 2048;

/// What is said of a request, kept while its handler works on it.
#[derive(Debug)]
pub(crate) struct Asked {
    peer: Option<SocketAddr>,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    version: Version,
    referer: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    /// How long it waited in the queue.
    waited: Duration,
}

impl Asked {
    pub(crate) fn new(request: &Request) -> Self {
        Self {
            peer: request.peer_addr(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            host: request.headers().get(HOST).cloned(),
            version: request.version(),
            referer: request.headers().get(REFERER).cloned(),
            agent: request.headers().get(USER_AGENT).cloned(),
            waited: request.queue_wait(),
        }
    }

    /// The line, with its line feed; `None` where there is to be none.
    pub(crate) fn line(
        &self,
        format: Format,
        response: &Response,
        service: Duration,
        now: OffsetDateTime,
    ) -> Option<Vec<u8>> {
        // A response to HEAD ends with its head (RFC 9110 section 9.3.2).
        let head = self.method == Method::HEAD;
        let length = if head { Some(0) } else { response.body().length() };
        let answer = (response.status().as_u16(), length);
        match format {
            Format::Off => None,
            Format::Clf => Some(self.clf(answer, now, false)),
            Format::Combined => Some(self.clf(answer, now, true)),
            Format::Json => Some(self.json(answer, now, service)),
        }
    }

    /// The common log format, or the combined one.
    fn clf(&self, (status, bytes): (u16, Option<u64>), now: OffsetDateTime, all: bool) -> Vec<u8> {
        let mut line = Vec::with_capacity(160);
        let peer = self.peer.map_or(Cow::Borrowed("-"), |peer| peer.ip().to_string().into());
        let _ = write!(line, "{peer} - - [");
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
        if all {
            for field in [&self.referer, &self.agent] {
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
        let mut line = Vec::with_capacity(256);
        line.extend_from_slice(b"{\"time\":\"");
        let format = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        let _ = now.format_into(&mut line, format);
        line.push(b'"');
        let peer = self.peer.map(|peer| peer.ip().to_string());
        text(&mut line, "client", peer.as_deref().map(str::as_bytes));
        text(&mut line, "method", Some(self.method.as_str().as_bytes()));
        text(&mut line, "target", Some(self.uri.to_string().as_bytes()));
        text(&mut line, "host", self.host.as_ref().map(HeaderValue::as_bytes));
        text(&mut line, "version", Some(format!("{:?}", self.version).as_bytes()));
        let _ = write!(line, ",\"status\":{status}");
        if let Some(bytes) = bytes {
            let _ = write!(line, ",\"bytes\":{bytes}");
        }
        let (wait, service) = (self.waited.as_micros(), service.as_micros());
        let _ = write!(line, ",\"wait_us\":{wait},\"service_us\":{service}");
        text(&mut line, "referer", self.referer.as_ref().map(HeaderValue::as_bytes));
        text(&mut line, "user_agent", self.agent.as_ref().map(HeaderValue::as_bytes));
        line.extend_from_slice(b"}\n");
        line
    }
}

/// Bytes as printable ASCII without quotes: whatever else is there becomes `\xHH`, so that no
/// client can forge a line or move a terminal's cursor.
fn escape(line: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes.iter().take(LONGEST) {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => line.push(byte),
            _ => {
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
}

/// A member of a JSON object, preceded by a comma; none where there is no value.
fn text(line: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    let Some(value) = value else { return };
    let _ = write!(line, ",\"{name}\":\"");
    let cut = &value[..value.len().min(LONGEST)];
    for c in String::from_utf8_lossy(cut).chars() {
        match c {
            '"' | '\\' => {
                let _ = write!(line, "\\{c}");
            }
            c if c.is_control() || (c as u32) > 0xffff => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
            c => {
                let _ = write!(line, "{c}");
            }
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn line(format: Format, agent: &[u8]) -> String {
        let request = millpond::http::Request::from(
            http::Request::builder()
                .uri("/a\"b?c")
                .header(HOST, "a.test")
                .header(USER_AGENT, HeaderValue::from_bytes(agent).unwrap())
                .body(millpond::http::Body::empty())
                .unwrap(),
        );
        let now = datetime!(2026-11-24 09:08:07.006 UTC);
        let asked = Asked::new(&request);
        let line = asked.line(format, &Response::text("abc"), Duration::from_micros(1500), now);
        line.map_or_else(String::new, |line| String::from_utf8(line).unwrap())
    }

    #[test]
    fn the_formats_are_as_their_readers_know_them() {
        let common = "- - - [24/Nov/2026:09:08:07 +0000] \"GET /a\\\"b?c HTTP/1.1\" 200 3";
        assert_eq!(line(Format::Off, b""), "");
        assert_eq!(line(Format::Clf, b"quern"), format!("{common}\n"));
        assert_eq!(line(Format::Combined, b"quern"), format!("{common} \"-\" \"quern\"\n"));
        assert_eq!(
            line(Format::Json, b"quern"),
            "{\"time\":\"2026-11-24T09:08:07.006Z\",\"method\":\"GET\",\"target\":\"/a\\\"b?c\",\
             \"host\":\"a.test\",\"version\":\"HTTP/1.1\",\"status\":200,\"bytes\":3,\
             \"wait_us\":0,\"service_us\":1500,\"user_agent\":\"quern\"}\n"
        );
    }

    #[test]
    fn a_response_to_head_has_no_bytes() {
        let request = http::Request::head("/").body(millpond::http::Body::empty()).unwrap();
        let asked = Asked::new(&request.into());
        let now = datetime!(2026-11-24 09:08:07 UTC);
        let line = asked.line(Format::Clf, &Response::text("abc"), Duration::ZERO, now).unwrap();
        assert!(String::from_utf8(line).unwrap().ends_with("\"HEAD / HTTP/1.1\" 200 0\n"));
    }

    #[test]
    fn what_the_client_chose_cannot_leave_its_field() {
        let combined = line(Format::Combined, b"a\" \\\xff\tb");
        assert!(combined.ends_with("\"a\\\" \\\\\\xff\\x09b\"\n"), "{combined}");
        let json = line(Format::Json, b"a\" \\\xff\tb");
        assert!(json.ends_with("\"a\\\" \\\\\u{fffd}\\u0009b\"}\n"), "{json}");
    }

    #[test]
    fn a_line_has_a_bound() {
        assert!(line(Format::Combined, &[b'a'; 60_000]).len() < 2 * LONGEST);
        assert!(line(Format::Json, &[b'a'; 60_000]).len() < 2 * LONGEST);
    }
}
