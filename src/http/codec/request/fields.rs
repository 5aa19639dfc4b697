//! Reads field lines into a header map, and locates the fields that the server itself interprets.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use memchr::memchr;

use super::name_cache::NameCache;
use crate::http::codec::reject::Reject;

/// The fields that the server itself interprets: the positions of their values in the block.
#[derive(Debug, Default)]
pub(super) struct KnownFields {
    pub(super) host: FieldLines,
    pub(super) content_length: FieldLines,
    pub(super) content_type: FieldLines,
    pub(super) transfer_encoding: FieldLines,
    pub(super) connection: FieldLines,
    pub(super) expect: FieldLines,
    pub(super) upgrade: FieldLines,
    /// Whether a field has the name of a framing field with `_` in place of `-`. A gateway that
    /// turns field names into variables, as CGI does (RFC 3875 §4.1.18), takes it for that field.
    pub(super) lookalike: bool,
    /// The field in which clients send their timeout.
    pub(super) client_timeout: FieldLines,
}

/// The lines of one field: how many there are, and the position of the last one's value.
#[derive(Debug, Default)]
pub(super) struct FieldLines {
    pub(super) lines: usize,
    pub(super) value: Range<usize>,
}

impl FieldLines {
    fn add(&mut self, value: &Range<usize>) {
        self.lines += 1;
        self.value = value.clone();
    }
}

impl KnownFields {
    fn record(&mut self, name: &[u8], value: &Range<usize>, timeout_field: &[u8]) {
        if name.len() == timeout_field.len() && name.eq_ignore_ascii_case(timeout_field) {
            self.client_timeout.add(value);
        }
        let (field, full_name) = match name.len() {
            4 => (&mut self.host, &b"host"[..]),
            6 => (&mut self.expect, &b"expect"[..]),
            7 => (&mut self.upgrade, &b"upgrade"[..]),
            10 => (&mut self.connection, &b"connection"[..]),
            12 => (&mut self.content_type, &b"content-type"[..]),
            14 => (&mut self.content_length, &b"content-length"[..]),
            17 => (&mut self.transfer_encoding, &b"transfer-encoding"[..]),
            _ => return,
        };
        if name.eq_ignore_ascii_case(full_name) {
            field.add(value);
        } else if name.eq_ignore_ascii_case(b"content_length")
            || name.eq_ignore_ascii_case(b"transfer_encoding")
        {
            self.lookalike = true;
        }
    }
}

/// Reads the field lines of `block` from `at` up to the empty line, with which the block ends.
///
/// A malformed line is an error, but only the scanner finds which rule it breaks. `timeout_field`
/// is the name of the field in which clients send their timeout; empty: there is none.
pub(super) fn read(
    block: &Bytes,
    mut at: usize,
    fields_max: usize,
    timeout_field: &[u8],
    names: &mut NameCache,
    headers: &mut HeaderMap,
) -> Result<KnownFields, Reject> {
    let mut known = KnownFields::default();
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
        known.record(&rest[..colon], &value, timeout_field);
        let value = HeaderValue::from_maybe_shared(block.slice(value));
        let value = value.map_err(|_| Reject::FieldValue)?;
        headers.try_append(name, value).map_err(|_| Reject::TooManyFields)?;
        at += colon + length + 3;
    }
    Ok(known)
}

/// The range without the optional white space (OWS: spaces and tabs) at its ends.
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
