//! The scanner: reads a head byte by byte, so that it can pause and resume anywhere, and rejects it
//! at the first byte that no request has at that place.

use super::request_line::{self, METHOD_MAX};
use crate::http::codec::byte_class::{is_target_byte, is_token_byte, is_value_byte};
use crate::http::codec::reject::Reject;

/// The length of a request line that every server has to accept (RFC 9112 §3). Input that has no
/// space in its first 8000 bytes does not begin one.
const REQUEST_LINE_ROOM: usize = 8000;

/// Where in a head the scanner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanState {
    Start,
    EmptyCr,
    AfterEmpty,
    Method,
    Target,
    Version,
    LineCr,
    FieldStart,
    Name,
    Value,
    ValueCr,
    EndCr,
    Done,
}

impl ScanState {
    /// Every state, at the index `state as usize`.
    const ALL: [Self; 13] = [
        Self::Start,
        Self::EmptyCr,
        Self::AfterEmpty,
        Self::Method,
        Self::Target,
        Self::Version,
        Self::LineCr,
        Self::FieldStart,
        Self::Name,
        Self::Value,
        Self::ValueCr,
        Self::EndCr,
        Self::Done,
    ];

    /// The state after one more byte.
    pub(crate) fn step(self, byte: u8) -> Result<Self, Reject> {
        match self {
            Self::Start | Self::AfterEmpty => match byte {
                b'\r' if self == Self::Start => Ok(Self::EmptyCr),
                b'\r' => Err(Reject::EmptyLines),
                b'\n' => Err(Reject::BareLf),
                _ if is_token_byte(byte) => Ok(Self::Method),
                _ => Err(Reject::NotHttp),
            },
            Self::EmptyCr => line_feed(byte, Self::AfterEmpty),
            Self::Method => match byte {
                b' ' => Ok(Self::Target),
                _ if is_token_byte(byte) => Ok(Self::Method),
                b'\n' => Err(Reject::BareLf),
                b'\r' => Err(Reject::RequestLine),
                _ => Err(Reject::NotHttp),
            },
            Self::Target => match byte {
                b' ' => Ok(Self::Version),
                _ if is_target_byte(byte) => Ok(Self::Target),
                b'\n' => Err(Reject::BareLf),
                b'\r' => Err(Reject::RequestLine),
                _ => Err(Reject::Target),
            },
            Self::Version => match byte {
                b'\r' => Ok(Self::LineCr),
                b'!'..=b'~' => Ok(Self::Version),
                b'\n' => Err(Reject::BareLf),
                _ => Err(Reject::RequestLine),
            },
            Self::LineCr | Self::ValueCr => line_feed(byte, Self::FieldStart),
            Self::FieldStart => match byte {
                b'\r' => Ok(Self::EndCr),
                b'\n' => Err(Reject::BareLf),
                b' ' | b'\t' => Err(Reject::Folded),
                _ if is_token_byte(byte) => Ok(Self::Name),
                _ => Err(Reject::FieldName),
            },
            Self::Name => match byte {
                b':' => Ok(Self::Value),
                _ if is_token_byte(byte) => Ok(Self::Name),
                b'\n' => Err(Reject::BareLf),
                b' ' | b'\t' => Err(Reject::SpaceBeforeColon),
                _ => Err(Reject::FieldName),
            },
            Self::Value => match byte {
                b'\r' => Ok(Self::ValueCr),
                _ if is_value_byte(byte) => Ok(Self::Value),
                b'\n' => Err(Reject::BareLf),
                _ => Err(Reject::FieldValue),
            },
            Self::EndCr => line_feed(byte, Self::Done),
            Self::Done => Ok(Self::Done),
        }
    }
}

fn line_feed(byte: u8, next: ScanState) -> Result<ScanState, Reject> {
    if byte == b'\n' { Ok(next) } else { Err(Reject::BareCr) }
}

/// Resumes the scan at `mark` (0 at the start of a head). Returns the length of the head once it is
/// complete. Until then `mark` stores the position, and the state in its low four bits, so that no
/// byte is read twice.
///
/// The result depends on the bytes alone, not on how they were cut into pieces, because every check
/// is made at the byte that decides it.
pub(crate) fn scan(
    input: &[u8],
    mark: &mut usize,
    head_max: usize,
    (target_max, secure): (usize, bool),
) -> Result<Option<usize>, Reject> {
    let mut at = *mark >> 4;
    let mut state = ScanState::ALL[*mark & 15];
    // The empty line before the request line, the longest method, a space, the longest target.
    let target_end = 2 + METHOD_MAX + 1 + target_max;
    let end = input.len().min(head_max);
    while at < end {
        let before = state;
        state = state.step(input[at])?;
        at += 1;
        match state {
            ScanState::Method if at > REQUEST_LINE_ROOM => return Err(Reject::NotHttp),
            ScanState::Target if before == ScanState::Method && at > 2 + METHOD_MAX + 1 => {
                return Err(Reject::MethodTooLong);
            }
            ScanState::Target if at > target_end => return Err(Reject::TargetTooLong),
            ScanState::FieldStart if before == ScanState::LineCr => {
                request_line::check(&input[..at], (target_max, secure))?;
            }
            ScanState::Done => return Ok(Some(at)),
            _ => {}
        }
    }
    if at >= head_max {
        return Err(match state {
            ScanState::Target => Reject::TargetTooLong,
            _ => Reject::HeadTooLarge,
        });
    }
    *mark = at << 4 | state as usize;
    Ok(None)
}
