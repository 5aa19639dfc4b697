//! The answer: how its body goes out, and its head as bytes. No socket, no clock.

use std::io::Write;

use http::header::{self, HeaderName};
use http::{HeaderMap, Method, StatusCode, Version};

/// The interim answer to a client that waits before it sends its body (RFC 9110 §15.2.1).
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What the handler's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// It has this many bytes.
    Known(u64),
    /// It ends when it ends.
    Unknown,
}

/// How a body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// None is sent, whatever the handler gave.
    None,
    /// With this Content-Length.
    Length(u64),
    /// In chunks.
    Chunked,
    /// It ends with the connection, which must not be kept.
    UntilClose,
}

/// How the body of an answer goes out (RFC 9112 §6.3): `method` and `version` are the request's.
pub(crate) fn transfer(
    method: &Method,
    version: Version,
    status: StatusCode,
    payload: Payload,
) -> Transfer {
    let tunnel = method == Method::CONNECT && status.is_success();
    if method == Method::HEAD || tunnel || has_no_content(status) {
        return Transfer::None;
    }
    match payload {
        Payload::Known(length) => Transfer::Length(length),
        Payload::Unknown if version == Version::HTTP_11 => Transfer::Chunked,
        Payload::Unknown => Transfer::UntilClose,
    }
}

/// The Content-Length that an answer without a body declares: of the body that was held back from
/// HEAD, or that a 304 stands for (RFC 9110 §8.6).
///
/// A handler that gave no body for these may still know the length, and then says it in `headers`.
/// If it does not, nothing is said: 0 would be a lie about the answer to GET.
pub(crate) fn declared(
    method: &Method,
    status: StatusCode,
    payload: Payload,
    headers: &HeaderMap,
) -> Option<u64> {
    if method != Method::HEAD && status != StatusCode::NOT_MODIFIED {
        return None;
    }
    match payload {
        Payload::Known(length @ 1..) => Some(length),
        _ => headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok(),
    }
}

/// Statuses whose answers have no content: 1xx, 204, 205, 304 (RFC 9110 §6.4.1, §15.3.6).
fn has_no_content(status: StatusCode) -> bool {
    status.is_informational()
        || matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        )
}

/// What an answer's head is made of.
#[derive(Debug)]
pub(crate) struct HeadLine<'a> {
    /// The request's.
    pub(crate) version: Version,
    pub(crate) status: StatusCode,
    /// The handler's. Fields that are the server's to set are left out.
    pub(crate) headers: &'a HeaderMap,
    pub(crate) transfer: &'a Transfer,
    /// The Content-Length of an answer without a body: see [`declared`].
    pub(crate) declared: Option<u64>,
    pub(crate) keep_alive: bool,
    pub(crate) date: &'a [u8; 29],
}

/// Appends the head of an answer.
///
/// It is always an HTTP/1.1 head: what the server speaks, not what it was asked in (RFC 9110 §6.2).
/// The names that the server itself sets are in the customary case, because some clients
/// (ApacheBench among them) look for just that.
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
        if !is_servers_own(name) {
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
        // RFC 9110 §15.3.6: a 205 says that nothing comes.
        Transfer::None if status == StatusCode::RESET_CONTENT => Some(0),
        Transfer::None => head.declared,
    };
    if let Some(length) = length {
        out.extend_from_slice(b"Content-Length: ");
        push_decimal(out, length);
        out.extend_from_slice(b"\r\n");
    }
}

/// Connection: `close`, or `keep-alive` where HTTP/1.0 would close, and `upgrade` beside an Upgrade
/// field (RFC 9112 §9.3, RFC 9110 §7.8).
fn encode_connection(out: &mut Vec<u8>, head: &HeadLine<'_>) {
    let switching = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let keep_alive = head.keep_alive && *head.transfer != Transfer::UntilClose;
    let persistence = match (keep_alive, head.version) {
        _ if switching => "",
        (false, _) => "close",
        (true, Version::HTTP_10) => "keep-alive",
        (true, _) => "",
    };
    let upgrade = switching || head.headers.contains_key(header::UPGRADE);
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

fn encode_field(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    debug_assert!(
        !value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)),
        "a HeaderValue has no line ends"
    );
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Fields that only the server sets, whatever the handler says.
fn is_servers_own(name: &HeaderName) -> bool {
    // Compared by length first: most names are told apart without looking at them.
    match name.as_str().len() {
        4 => *name == header::DATE,
        10 => *name == header::CONNECTION || name.as_str() == "keep-alive",
        14 => *name == header::CONTENT_LENGTH,
        17 => *name == header::TRANSFER_ENCODING,
        _ => false,
    }
}

fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends the line before a chunk's `len` bytes of data, after which `\r\n` has to follow. `len`
/// is not 0: that would end the body.
pub(crate) fn encode_chunk_size(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "an empty chunk ends the body");
    let written = write!(out, "{len:x}\r\n");
    debug_assert!(written.is_ok(), "a Vec takes everything");
}

/// Appends the end of a chunked body, with the trailers that may be trailers (RFC 9110 §6.5.1).
pub(crate) fn encode_last_chunk(out: &mut Vec<u8>, trailers: Option<&HeaderMap>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        if !is_forbidden_trailer(name) {
            encode_field(out, name, value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Fields that have to be known before the body: about framing, routing, authentication, content
/// format, or how to process the message.
pub(crate) fn is_forbidden_trailer(name: &HeaderName) -> bool {
    const FORBIDDEN: [HeaderName; 24] = [
        header::AGE,
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::CONNECTION,
        header::DATE,
        header::EXPECT,
        header::EXPIRES,
        header::HOST,
        header::LOCATION,
        header::MAX_FORWARDS,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::RETRY_AFTER,
        header::SET_COOKIE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::VARY,
        header::WWW_AUTHENTICATE,
    ];
    FORBIDDEN.contains(name)
}

#[cfg(test)]
mod tests;
