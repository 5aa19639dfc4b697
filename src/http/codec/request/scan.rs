//! The scanner: reads a head byte by byte, so that it can stop and go on anywhere, and rejects at
//! the first byte that no request has at that place.

use super::target;
use crate::http::codec::reject::Reject;

/// Bytes of the longest method that is passed on. Registered ones have up to 17.
pub(crate) const METHOD_MAX: usize = 64;

/// Bytes for which a request line always has to have room (RFC 9112 §3). What has no space in so
/// many begins none.
const LINE_ROOM: usize = 8000;

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const VALUE: u8 = 4;

/// What each byte may be part of.
static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if is_tchar(b) {
            table[byte] |= TOKEN;
        }
        if b > b' ' && b < 0x7f && b != b'#' {
            table[byte] |= TARGET;
        }
        if b == b'\t' || (b >= b' ' && b != 0x7f) {
            table[byte] |= VALUE;
        }
        byte += 1;
    }
    table
}

const fn is_tchar(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether a token may have this byte (RFC 9110 §5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    CLASS[byte as usize] & TOKEN != 0
}

/// Whether a target may have this byte: visible ASCII but for `#` (RFC 9112 §3.2).
pub(crate) fn is_target(byte: u8) -> bool {
    CLASS[byte as usize] & TARGET != 0
}

/// Whether a field value may have this byte (RFC 9110 §5.5).
pub(crate) fn is_value(byte: u8) -> bool {
    CLASS[byte as usize] & VALUE != 0
}

/// Where in a head the scanner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
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

impl State {
    /// The states that a scan can stop at, by their number.
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
                _ if is_token(byte) => Ok(Self::Method),
                _ => Err(Reject::NotHttp),
            },
            Self::EmptyCr => line_feed(byte, Self::AfterEmpty),
            Self::Method => match byte {
                b' ' => Ok(Self::Target),
                _ if is_token(byte) => Ok(Self::Method),
                b'\n' => Err(Reject::BareLf),
                b'\r' => Err(Reject::RequestLine),
                _ => Err(Reject::NotHttp),
            },
            Self::Target => match byte {
                b' ' => Ok(Self::Version),
                _ if is_target(byte) => Ok(Self::Target),
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
                _ if is_token(byte) => Ok(Self::Name),
                _ => Err(Reject::FieldName),
            },
            Self::Name => match byte {
                b':' => Ok(Self::Value),
                _ if is_token(byte) => Ok(Self::Name),
                b'\n' => Err(Reject::BareLf),
                b' ' | b'\t' => Err(Reject::SpaceBeforeColon),
                _ => Err(Reject::FieldName),
            },
            Self::Value => match byte {
                b'\r' => Ok(Self::ValueCr),
                _ if is_value(byte) => Ok(Self::Value),
                b'\n' => Err(Reject::BareLf),
                _ => Err(Reject::FieldValue),
            },
            Self::EndCr => line_feed(byte, Self::Done),
            Self::Done => Ok(Self::Done),
        }
    }
}

fn line_feed(byte: u8, next: State) -> Result<State, Reject> {
    if byte == b'\n' { Ok(next) } else { Err(Reject::BareCr) }
}

/// Goes on from `mark` (0 at the start of a head) and returns the length of the head once it is
/// complete. Until then `mark` keeps the place and the state in its low bits, so that no byte is
/// looked at twice.
///
/// What it answers depends on the bytes alone, not on how they were cut into pieces: every check is
/// made at the byte that decides it.
pub(crate) fn scan(
    input: &[u8],
    mark: &mut usize,
    head_max: usize,
    target_max: usize,
) -> Result<Option<usize>, Reject> {
    let mut at = *mark >> 4;
    let mut state = State::ALL[*mark & 15];
    let target_end = 2 + METHOD_MAX + 1 + target_max;
    let end = input.len().min(head_max);
    while at < end {
        let before = state;
        state = state.step(input[at])?;
        at += 1;
        match state {
            State::Method if at > LINE_ROOM => return Err(Reject::NotHttp),
            State::Target if before == State::Method && at > 2 + METHOD_MAX + 1 => {
                return Err(Reject::MethodTooLong);
            }
            State::Target if at > target_end => return Err(Reject::TargetTooLong),
            State::FieldStart if before == State::LineCr => {
                target::check_line(&input[..at], target_max)?;
            }
            State::Done => return Ok(Some(at)),
            _ => {}
        }
    }
    if at >= head_max {
        return Err(match state {
            State::Target => Reject::TargetTooLong,
            _ => Reject::HeadTooLarge,
        });
    }
    *mark = at << 4 | state as usize;
    Ok(None)
}
