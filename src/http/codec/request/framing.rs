//! The meaning of the fields of a head: where the body ends, whether the connection is kept, what
//! the client expects.

use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, Version};

use super::fields::{FieldLines, KnownFields};
use super::head::{Framing, Head};
use super::request_line::{RequestLine, TargetForm, host_of};
use crate::http::codec::reject::Reject;
use crate::http::list::split;

/// The most digits of a Content-Length: as many as the largest number of 64 bits has.
const LENGTH_DIGITS_MAX: usize = 20;

/// Checks Host: HTTP/1.1 requires exactly one line, and it is well-formed in any version
/// (RFC 9112 §3.2). In HTTP/1.1 it is not empty with a target in origin-form, because then only
/// Host can name the host, which an http URI has (RFC 9110 §4.2.1).
pub(super) fn check_host(
    block: &[u8],
    host: &FieldLines,
    line: &RequestLine,
) -> Result<(), Reject> {
    let modern = line.version == Version::HTTP_11;
    match (host.lines, host_of(&block[host.value.clone()])) {
        (0, _) if modern => Err(Reject::HostMissing),
        (0, _) => Ok(()),
        (1, None) => Err(Reject::HostInvalid),
        (1, Some([])) if modern && line.form == TargetForm::Origin => Err(Reject::HostEmpty),
        (1, Some(_)) => Ok(()),
        _ => Err(Reject::HostRepeated),
    }
}

/// Refuses contradicting Content-Type lines: readers differ in which of them they use
/// (RFC 9110 §5.3, §8.3).
#[inline]
pub(super) fn check_content_type(known: &KnownFields, headers: &HeaderMap) -> Result<(), Reject> {
    if known.content_type.lines > 1 {
        let mut types = headers.get_all(CONTENT_TYPE).into_iter();
        let first = types.next();
        if types.any(|other| Some(other) != first) {
            return Err(Reject::ContentTypes);
        }
    }
    Ok(())
}

/// Where the body of a request ends (RFC 9112 §6.3).
#[inline]
pub(super) fn framing(
    block: &[u8],
    known: &KnownFields,
    headers: &HeaderMap,
    version: Version,
) -> Result<Framing, Reject> {
    let (length, coding) = (&known.content_length, &known.transfer_encoding);
    if known.lookalike {
        return Err(Reject::FramingLookalike);
    }
    match (coding.lines, length.lines) {
        (0, 0) => Ok(Framing::None),
        (0, 1) => content_length(&block[length.value.clone()]).map(Framing::Length),
        (0, _) => Err(Reject::LengthRepeated),
        _ if version == Version::HTTP_10 => Err(Reject::CodingInHttp10),
        (_, 0) => check_codings(headers).map(|()| Framing::Chunked),
        _ => Err(Reject::LengthWithCoding),
    }
}

/// Reads Content-Length, a decimal number: only digits, leading zeros included (RFC 9110 §8.6). A
/// list is not accepted, even one of equal numbers.
fn content_length(value: &[u8]) -> Result<u64, Reject> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Reject::LengthInvalid);
    }
    if value.len() > LENGTH_DIGITS_MAX {
        return Err(Reject::LengthOverflow);
    }
    value
        .iter()
        .try_fold(0_u64, |length, digit| {
            length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or(Reject::LengthOverflow)
}

/// Accepts only `chunked`. Other codings before a final `chunked` are not implemented (501);
/// without a final `chunked` the length of the body is unknown (400).
///
/// An empty list member is refused in this field only: servers and proxies disagree about
/// `, chunked`, and one that takes it for an unknown coding finds a different end of the body.
fn check_codings(headers: &HeaderMap) -> Result<(), Reject> {
    let mut last_is_chunked = false;
    let mut chunked = 0;
    let mut others = false;
    for value in headers.get_all(TRANSFER_ENCODING) {
        for coding in split(value.as_bytes(), b',') {
            if coding.is_empty() {
                return Err(Reject::CodingNotChunked);
            }
            last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            chunked += usize::from(last_is_chunked);
            others |= !last_is_chunked;
        }
    }
    match (last_is_chunked && chunked == 1, others) {
        (false, _) => Err(Reject::CodingNotChunked),
        (true, true) => Err(Reject::CodingUnknown),
        (true, false) => Ok(()),
    }
}

/// Evaluates Connection, Expect and Upgrade.
#[inline]
pub(super) fn set_options(head: &mut Head, known: &KnownFields) -> Result<(), Reject> {
    let modern = head.version == Version::HTTP_11;
    let (mut close, mut keep, mut upgrade) = (false, false, false);
    if known.connection.lines > 0 {
        for value in head.headers.get_all(CONNECTION) {
            for option in split(value.as_bytes(), b',') {
                close |= option.eq_ignore_ascii_case(b"close");
                keep |= option.eq_ignore_ascii_case(b"keep-alive");
                upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            }
        }
    }
    // RFC 9112 §9.3.
    head.keep_alive = !close && (modern || keep);
    // RFC 9110 §7.8: Upgrade counts only if Connection names it, and never in HTTP/1.0.
    head.upgrade = modern && upgrade && known.upgrade.lines > 0;
    // RFC 9110 §10.1.1: in HTTP/1.0 an expectation is ignored.
    if modern && known.expect.lines > 0 {
        let values = head.headers.get_all(EXPECT);
        let members = values.iter().flat_map(|value| split(value.as_bytes(), b','));
        let mut expects = false;
        // RFC 9110 §5.6.1.2: empty list members are ignored.
        for member in members.filter(|member| !member.is_empty()) {
            if !member.eq_ignore_ascii_case(b"100-continue") {
                return Err(Reject::Expectation);
            }
            expects = true;
        }
        let has_body = !matches!(head.framing, Framing::None | Framing::Length(0));
        head.expects_continue = expects && has_body;
    }
    Ok(())
}
