//! Builds the response for a file and a request: 200, 206, 304, 412 or 416.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::range::{Ranges, ranges};
use super::resource::{Representation, Resource};
use crate::http::conditional::{Preconditions, evaluate, range_counts};
use crate::http::{Body, Response};
use crate::pool::Segment;
use crate::sync::unix_seconds;

/// The methods that the handler supports.
pub(super) const METHODS: &str = "GET, HEAD, OPTIONS";

/// Responds with a file. `Err` has the status and the fields of a response whose body is not the
/// file.
pub(super) fn file(
    resource: &Resource,
    method: &Method,
    request_headers: &HeaderMap,
    most: usize,
) -> Result<Response, (StatusCode, HeaderMap)> {
    let representation = resource.choose(request_headers);
    let now = unix_seconds();
    let validators = representation.validators(now);
    match evaluate(request_headers, &validators, now) {
        Preconditions::Proceed => {}
        Preconditions::NotModified => {
            let mut response = Response::empty(StatusCode::NOT_MODIFIED);
            *response.headers_mut() = representation.not_modified_fields(now);
            return Ok(response);
        }
        Preconditions::Failed => return Err((StatusCode::PRECONDITION_FAILED, HeaderMap::new())),
    }
    // Range applies to GET only (RFC 9110 §14.2).
    if let Some(value) = request_headers.get(header::RANGE)
        && *method == Method::GET
        && range_counts(request_headers, &validators)
    {
        match ranges(value.as_bytes(), representation.length, most) {
            Ranges::Whole => {}
            Ranges::Unsatisfiable => {
                let mut fields = HeaderMap::new();
                let range = format!("bytes */{}", representation.length);
                fields.extend(HeaderValue::try_from(range).map(|v| (header::CONTENT_RANGE, v)));
                return Err((StatusCode::RANGE_NOT_SATISFIABLE, fields));
            }
            Ranges::Parts(parts) => return Ok(partial(representation, &parts, now)),
        }
    }
    Ok(whole(representation, now))
}

/// 200 with the whole file.
pub(super) fn whole(representation: &Representation, now: u64) -> Response {
    let mut response = Response::new(representation.body());
    *response.headers_mut() = representation.fields(now);
    response
}

/// 206 with one part, or with several as multipart/byteranges (RFC 9110 §15.3.7).
fn partial(representation: &Representation, parts: &[Range<u64>], now: u64) -> Response {
    let mut fields = representation.fields(now);
    let segments = if let [part] = parts {
        let range = HeaderValue::try_from(content_range(part, representation.length));
        fields.extend(range.map(|range| (header::CONTENT_RANGE, range)));
        vec![representation.slice(part)]
    } else {
        let boundary = boundary();
        let kind = format!("multipart/byteranges; boundary={boundary}");
        let part_type = HeaderValue::try_from(kind)
            .ok()
            .and_then(|kind| fields.insert(header::CONTENT_TYPE, kind));
        multipart(representation, parts, &boundary, part_type.as_ref())
    };
    let mut response =
        Response::new(Body::from_segments(segments)).with_status(StatusCode::PARTIAL_CONTENT);
    *response.headers_mut() = fields;
    response
}

fn multipart(
    representation: &Representation,
    parts: &[Range<u64>],
    boundary: &str,
    kind: Option<&HeaderValue>,
) -> Vec<Segment> {
    let mut segments = Vec::with_capacity(parts.len() * 2 + 1);
    for (index, part) in parts.iter().enumerate() {
        let mut head = String::new();
        let line_end = if index == 0 { "" } else { "\r\n" };
        let _ = write!(head, "{line_end}--{boundary}\r\n");
        if let Some(kind) = kind.and_then(|kind| kind.to_str().ok()) {
            let _ = write!(head, "Content-Type: {kind}\r\n");
        }
        let range = content_range(part, representation.length);
        let _ = write!(head, "Content-Range: {range}\r\n\r\n");
        segments.push(Segment::Bytes(head.into()));
        segments.push(representation.slice(part));
    }
    segments.push(Segment::Bytes(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    segments
}

/// `bytes 0-499/1234`.
fn content_range(part: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.start, part.end - 1)
}

/// A boundary that occurs in no file, as no client can predict it: the keys of [`RandomState`] are
/// random numbers from the system.
fn boundary() -> String {
    let [high, low] = [0, 1].map(|n| RandomState::new().hash_one(n));
    format!("{high:016x}{low:016x}")
}
