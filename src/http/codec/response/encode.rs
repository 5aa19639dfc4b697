//! Encodes the head of a response, and the chunks of its body.

use std::io::Write;

use http::header::{self, HeaderName};
use http::{HeaderMap, StatusCode, Version};

use super::framing::Transfer;
use super::trailers::is_forbidden_trailer;

/// The interim response to a client that waits before it sends its body (RFC 9110 §15.2.1).
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The parts of a response's head.
#[derive(Debug)]
pub(crate) struct HeadLine<'a> {
    /// The version of the request.
    pub(crate) version: Version,
    pub(crate) status: StatusCode,
    /// The handler's fields. Those that only the server sets are left out.
    pub(crate) headers: &'a HeaderMap,
    pub(crate) transfer: &'a Transfer,
    /// The Content-Length of a response without a body: see
    /// [`declared_length`](super::declared_length).
    pub(crate) declared_length: Option<u64>,
    pub(crate) keep_alive: bool,
    pub(crate) date: &'a [u8; 29],
}

/// Appends the head of a response.
///
/// Its version is always HTTP/1.1: that of the server, not that of the request (RFC 9110 §6.2). The
/// names of the fields that the server sets have the customary case, because some clients
/// (ApacheBench is one) compare them with case.
pub(crate) fn encode_head(out: &mut Vec<u8>, head: &HeadLine<'_>) {
    let HeadLine { status, headers, .. } = head;
    out.reserve(160 + headers.len() * 48);
    if *status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\nDate: ");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\nDate: ");
    }
    out.extend_from_slice(head.date);
    out.extend_from_slice(b"\r\n");
    encode_framing(out, head);
    encode_connection(out, head);
    for (name, value) in *headers {
        if !is_set_by_server(name) {
            encode_field(out, name, value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn encode_framing(out: &mut Vec<u8>, head: &HeadLine<'_>) {
    let status = head.status;
    let length = match *head.transfer {
        Transfer::Length(length) => Some(length),
        Transfer::Chunked => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            None
        }
        Transfer::UntilClose => None,
        // RFC 9110 §8.6: no Content-Length in 1xx and 204.
        Transfer::None if status.is_informational() || status == StatusCode::NO_CONTENT => None,
        // RFC 9110 §15.3.6: a 205 announces an empty body.
        Transfer::None if status == StatusCode::RESET_CONTENT => Some(0),
        Transfer::None => head.declared_length,
    };
    if let Some(length) = length {
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends Connection: `close`, or `keep-alive` where HTTP/1.0 would close, and `upgrade` with an
/// Upgrade field (RFC 9112 §9.3, RFC 9110 §7.8).
fn encode_connection(out: &mut Vec<u8>, head: &HeadLine<'_>) {
    let switching = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let keep_alive = head.keep_alive && *head.transfer != Transfer::UntilClose;
    let persistence = match (keep_alive, head.version) {
        _ if switching => "",
        (false, _) => "close",
        (true, Version::HTTP_10) => "keep-alive",
        (true, _) => "",
    };
    // A response has few fields: to compare their names takes less time than to hash one.
    let upgrade = switching || head.headers.keys().any(|name| *name == header::UPGRADE);
    let value: &[u8] = match (upgrade, persistence) {
        (false, "") => return,
        (false, "close") => b"Connection: close\r\n",
        (false, _) => b"Connection: keep-alive\r\n",
        (true, "") => b"Connection: upgrade\r\n",
        (true, "close") => b"Connection: upgrade, close\r\n",
        (true, _) => b"Connection: upgrade, keep-alive\r\n",
    };
    out.extend_from_slice(value);
}

/// Appends a field line.
pub(crate) fn encode_field(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    debug_assert!(
        !value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)),
        "a HeaderValue has no line ends"
    );
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether only the server sets a field: the handler's value is left out.
fn is_set_by_server(name: &HeaderName) -> bool {
    // The length is compared first, which rules most names out without comparing their bytes.
    match name.as_str().len() {
        4 => *name == header::DATE,
        10 => *name == header::CONNECTION || name.as_str() == "keep-alive",
        14 => *name == header::CONTENT_LENGTH,
        17 => *name == header::TRANSFER_ENCODING,
        _ => false,
    }
}

/// Appends a chunk with this data; nothing without data, as an empty chunk would end the body.
pub(crate) fn encode_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let written = write!(out, "{:x}\r\n", data.len());
    debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body. Fields that must not be trailers are left out.
pub(crate) fn encode_last_chunk(out: &mut Vec<u8>, trailers: Option<&HeaderMap>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        if !is_forbidden_trailer(name) {
            encode_field(out, name, value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}
