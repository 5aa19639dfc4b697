//! Field lines: into a header map, with notes on the fields that the server itself has to obey.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use memchr::memchr;

use super::names::Names;
use crate::http::codec::reject::Reject;

/// What the fields say that decide about a request: where in the block their values stand.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) host: Seen,
    pub(super) content_length: Seen,
    pub(super) content_type: Seen,
    pub(super) transfer_encoding: Seen,
    pub(super) connection: Seen,
    pub(super) expect: Seen,
    pub(super) upgrade: Seen,
    /// Whether a name is that of a framing field but for `_` in the place of `-`: a reader that
    /// makes variables of fields, as CGI does (RFC 3875 §4.1.18), takes it for that field.
    pub(super) lookalike: bool,
    /// The field in which clients say how long they wait.
    pub(super) patience: Seen,
}

/// A field: how many lines it has, and where the value of the last stands.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) lines: usize,
    pub(super) value: Range<usize>,
}

impl Seen {
    fn add(&mut self, value: &Range<usize>) {
        self.lines += 1;
        self.value = value.clone();
    }
}

impl Notes {
    fn note(&mut self, name: &[u8], value: &Range<usize>, patience: &[u8]) {
        if name.len() == patience.len() && name.eq_ignore_ascii_case(patience) {
            self.patience.add(value);
        }
        let (seen, full) = match name.len() {
            4 => (&mut self.host, &b"host"[..]),
            6 => (&mut self.expect, &b"expect"[..]),
            7 => (&mut self.upgrade, &b"upgrade"[..]),
            10 => (&mut self.connection, &b"connection"[..]),
            12 => (&mut self.content_type, &b"content-type"[..]),
            14 => (&mut self.content_length, &b"content-length"[..]),
            17 => (&mut self.transfer_encoding, &b"transfer-encoding"[..]),
            _ => return,
        };
        if name.eq_ignore_ascii_case(full) {
            seen.add(value);
        } else if name.eq_ignore_ascii_case(b"content_length")
            || name.eq_ignore_ascii_case(b"transfer_encoding")
        {
            self.lookalike = true;
        }
    }
}

/// Reads the field lines of `block` from `at` up to the empty line at its end, which it has.
///
/// A malformed line is found, but which rule it breaks is told by the scanner. `patience` is the
/// name of the field in which clients say how long they wait; empty: none is.
pub(super) fn read(
    block: &Bytes,
    mut at: usize,
    fields_max: usize,
    patience: &[u8],
    names: &mut Names,
    headers: &mut HeaderMap,
) -> Result<Notes, Reject> {
    let mut notes = Notes::default();
    let mut lines = 0;
    while !block[at..].starts_with(b"\r\n") {
        lines += 1;
        if lines > fields_max {
            return Err(Reject::TooManyFields);
        }
        let rest = &block[at..];
        let colon = rest.iter().position(|&b| b == b':').ok_or(Reject::FieldName)?;
        let name = names.get(&rest[..colon])?;
        let after = &rest[colon + 1..];
        let length = memchr(b'\r', after).ok_or(Reject::FieldValue)?;
        if after.get(length + 1) != Some(&b'\n') {
            return Err(Reject::BareCr);
        }
        let value = trim(block, at + colon + 1..at + colon + 1 + length);
        notes.note(&rest[..colon], &value, patience);
        let value = HeaderValue::from_maybe_shared(block.slice(value));
        let value = value.map_err(|_| Reject::FieldValue)?;
        headers.try_append(name, value).map_err(|_| Reject::TooManyFields)?;
        at += colon + length + 3;
    }
    Ok(notes)
}

/// The range without the white space around it (OWS: spaces and tabs).
fn trim(block: &[u8], mut range: Range<usize>) -> Range<usize> {
    let blank = |byte: u8| byte == b' ' || byte == b'\t';
    while range.start < range.end && blank(block[range.start]) {
        range.start += 1;
    }
    while range.start < range.end && blank(block[range.end - 1]) {
        range.end -= 1;
    }
    range
}

/// The trimmed elements of a comma-separated list, the empty ones too (RFC 9110 §5.6.1).
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(|element| {
        let range = trim(element, 0..element.len());
        &element[range]
    })
}
