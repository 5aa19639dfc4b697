//! Requests as raw bytes, each with the rule it is about and what has to become of it.
//!
//! The table is plain data, so that the parser (whole, and cut at every position) and the running
//! server can be driven with it alike.

mod chunks;
mod fields;
mod framing;
mod request_line;

/// Every case, by group.
pub(crate) static CASES: &[&[Case]] =
    &[request_line::CASES, request_line::TARGETS, fields::CASES, framing::CASES, chunks::CASES];

/// One request and its outcome.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The section of the RFC that has the rule.
    pub(crate) rfc: &'static str,
    pub(crate) raw: Raw,
    pub(crate) expected: Expected,
}

/// The bytes of a request.
pub(crate) enum Raw {
    Bytes(&'static [u8]),
    /// `before`, then `unit` as often as `times` says, then `after`.
    Repeat {
        before: &'static str,
        unit: &'static str,
        times: usize,
        after: &'static str,
    },
}

impl Raw {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Repeat { before, unit, times, after } => {
                [before, unit.repeat(*times).as_str(), after].concat().into_bytes()
            }
        }
    }
}

/// What has to become of a request.
pub(crate) enum Expected {
    /// A response of this status, after which the connection closes.
    Refuse(u16),
    Accept(Accept),
}

/// What the handler has to see. A body is what is left after the framing is taken off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accept {
    pub(crate) method: &'static str,
    /// The target as a URI; `/` is added to an absolute one without a path.
    pub(crate) target: &'static str,
    /// The value of Host, if there has to be one.
    pub(crate) host: Option<&'static str>,
    pub(crate) body: &'static [u8],
    /// A field that has to be there.
    pub(crate) field: Option<(&'static str, &'static [u8])>,
    /// Whether the connection is kept afterwards.
    pub(crate) keep_alive: bool,
}

/// `GET / HTTP/1.1` with `Host: a`.
const GET: Accept = Accept {
    method: "GET",
    target: "/",
    host: Some("a"),
    body: b"",
    field: None,
    keep_alive: true,
};

/// `POST / HTTP/1.1` with `Host: a`.
const POST: Accept = Accept { method: "POST", ..GET };

const fn refuse(status: u16, rfc: &'static str, name: &'static str, raw: &'static str) -> Case {
    refuse_bytes(status, rfc, name, raw.as_bytes())
}

const fn refuse_bytes(
    status: u16,
    rfc: &'static str,
    name: &'static str,
    raw: &'static [u8],
) -> Case {
    Case { name, rfc, raw: Raw::Bytes(raw), expected: Expected::Refuse(status) }
}

const fn accept(rfc: &'static str, name: &'static str, raw: &'static str, what: Accept) -> Case {
    Case { name, rfc, raw: Raw::Bytes(raw.as_bytes()), expected: Expected::Accept(what) }
}

/// A GET request with these field lines beside Host.
macro_rules! get {
    ($fields:expr) => {
        concat!("GET / HTTP/1.1\r\nHost: a\r\n", $fields, "\r\n")
    };
}

/// A POST request with these field lines beside Host, and these bytes after the head.
macro_rules! post {
    ($fields:expr, $body:expr) => {
        concat!("POST / HTTP/1.1\r\nHost: a\r\n", $fields, "\r\n", $body)
    };
}

/// A POST request with this chunked body.
macro_rules! chunked {
    ($body:expr) => {
        concat!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", $body)
    };
}

/// A request with this request line and `Host: a`.
macro_rules! line {
    ($line:expr) => {
        concat!($line, "\r\nHost: a\r\n\r\n")
    };
}

use {chunked, get, line, post};
