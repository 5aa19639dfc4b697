//! [`BodyDecoder`]: finds the bytes of a body among its framing.

use std::mem;
use std::ops::Range;

use http::HeaderMap;

use super::chunk_line::ChunkLine;
use crate::config::Limits;
use crate::http::codec::reject::Reject;
use crate::http::codec::request::scan::ScanState;
use crate::http::codec::request::{Framing, read_section};
use crate::http::codec::response::is_forbidden_trailer;

/// Finds the body in the bytes that arrive (RFC 9112 §6, §7). It returns positions, and copies no
/// body byte.
#[derive(Debug)]
pub(crate) struct BodyDecoder {
    state: BodyState,
    /// Body bytes that the chunks have announced so far.
    announced: u64,
    /// Bytes of chunk extensions so far.
    extensions: u64,
    body_max: u64,
    section_max: usize,
    fields_max: usize,
    trailers: Option<Box<HeaderMap>>,
}

/// What is expected next.
#[derive(Debug)]
enum BodyState {
    /// The number of bytes that are left of a body of known length.
    Length(u64),
    /// The line before a chunk.
    Size(ChunkLine),
    /// The number of bytes that are left of a chunk's data.
    Data(u64),
    DataCr,
    DataLf,
    /// The trailer section, with the part of it that has arrived.
    Trailers(ScanState, Vec<u8>),
    Done,
}

/// Refuses a body whose announced length exceeds the limit, before any of it is read.
pub(crate) fn check_length(framing: &Framing, limits: &Limits) -> Result<(), Reject> {
    match framing {
        Framing::Length(length) if *length > limits.body => Err(Reject::BodyTooLarge),
        _ => Ok(()),
    }
}

impl BodyDecoder {
    /// A decoder for a body with this framing.
    pub(crate) fn new(framing: &Framing, limits: &Limits) -> Self {
        let state = match *framing {
            Framing::None | Framing::Length(0) => BodyState::Done,
            Framing::Length(length) => BodyState::Length(length),
            Framing::Chunked => BodyState::Size(ChunkLine::new()),
        };
        Self {
            state,
            announced: 0,
            extensions: 0,
            body_max: limits.body,
            section_max: limits.trailers,
            fields_max: limits.fields,
            trailers: None,
        }
    }

    /// Whether the body has ended, its trailers included.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, BodyState::Done)
    }

    /// Decodes the start of `input`. Returns how many bytes were used, and which of them belong to
    /// the body (none, if all were framing).
    ///
    /// Call it again with the rest until it uses no byte. Then the decoder needs more input, or the
    /// body has ended.
    ///
    /// # Errors
    /// A [`Reject`] at the first byte that breaks the framing, or exceeds a limit.
    pub(crate) fn decode(&mut self, input: &[u8]) -> Result<(usize, Range<usize>), Reject> {
        let mut at = 0;
        while at < input.len() && !self.is_done() {
            let data_len = self.next_data_len();
            if data_len > 0 {
                let left = input.len() - at;
                let n = usize::try_from(data_len).map_or(left, |data_len| data_len.min(left));
                self.advance(n as u64);
                return Ok((at + n, at..at + n));
            }
            self.step(input[at])?;
            at += 1;
        }
        Ok((at, at..at))
    }

    /// How many of the next bytes are body data without framing. The caller may read as many
    /// straight into its buffer, without [`decode`](Self::decode).
    pub(crate) fn next_data_len(&self) -> u64 {
        match self.state {
            BodyState::Length(left) | BodyState::Data(left) => left,
            _ => 0,
        }
    }

    /// Records that the caller has read `n` bytes, at most [`next_data_len`](Self::next_data_len),
    /// without the decoder.
    pub(crate) fn advance(&mut self, n: u64) {
        debug_assert!(n <= self.next_data_len(), "{n} bytes of {}", self.next_data_len());
        match &mut self.state {
            BodyState::Length(left) if *left <= n => self.state = BodyState::Done,
            BodyState::Data(left) if *left <= n => self.state = BodyState::DataCr,
            BodyState::Length(left) | BodyState::Data(left) => *left -= n,
            _ => {}
        }
    }

    /// The trailer fields, once the body has ended, if there were any. Fields about framing,
    /// routing and the like are not among them (RFC 9110 §6.5.1).
    pub(crate) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take().map(|trailers| *trailers)
    }

    /// Decodes one byte of framing.
    fn step(&mut self, byte: u8) -> Result<(), Reject> {
        match &mut self.state {
            BodyState::Size(line) => {
                let size = line.step(byte)?;
                if line.in_extension() {
                    self.extensions += 1;
                    // A body cannot consist of extensions: beyond a fixed allowance, they must not
                    // be longer than the data of the chunks before.
                    if self.extensions > self.announced.saturating_add(self.section_max as u64) {
                        return Err(Reject::ChunkExtensionTooLong);
                    }
                }
                if let Some(size) = size {
                    self.start_chunk(size)?;
                }
            }
            BodyState::DataCr if byte == b'\r' => self.state = BodyState::DataLf,
            BodyState::DataLf if byte == b'\n' => self.state = BodyState::Size(ChunkLine::new()),
            BodyState::DataCr | BodyState::DataLf => return Err(Reject::ChunkEnd),
            BodyState::Trailers(line, section) => {
                *line = line.step(byte)?;
                if section.len() >= self.section_max.max(2) {
                    return Err(Reject::TrailersTooLarge);
                }
                section.push(byte);
                if *line == ScanState::Done {
                    let section = mem::take(section);
                    self.finish(section)?;
                }
            }
            BodyState::Length(_) | BodyState::Data(_) | BodyState::Done => {}
        }
        Ok(())
    }

    fn start_chunk(&mut self, size: u64) -> Result<(), Reject> {
        if size == 0 {
            self.state = BodyState::Trailers(ScanState::FieldStart, Vec::new());
            return Ok(());
        }
        let total = self.announced.checked_add(size).filter(|&total| total <= self.body_max);
        self.announced = total.ok_or(Reject::BodyTooLarge)?;
        self.state = BodyState::Data(size);
        Ok(())
    }

    fn finish(&mut self, section: Vec<u8>) -> Result<(), Reject> {
        if section.len() > 2 {
            let trailers = read_section(section, self.fields_max)?;
            if trailers.keys().any(is_forbidden_trailer) {
                return Err(Reject::TrailerForbidden);
            }
            self.trailers = Some(Box::new(trailers));
        }
        self.state = BodyState::Done;
        Ok(())
    }
}
