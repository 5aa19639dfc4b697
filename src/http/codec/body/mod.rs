//! The body of a request: which of the bytes that come are its own. No socket, no clock.

mod chunk_line;

use std::mem;
use std::ops::Range;

use http::HeaderMap;

use super::reject::Reject;
use super::request::scan::State as Line;
use super::request::{Framing, read_trailers};
use super::response::is_forbidden_trailer;
use crate::config::Limits;
use chunk_line::ChunkLine;

/// Finds the body in the bytes that come (RFC 9112 §6, §7). Body bytes pass by, never through it.
#[derive(Debug)]
pub(crate) struct BodyDecoder {
    state: State,
    /// Body bytes that chunks have announced so far.
    announced: u64,
    /// Bytes of chunk extensions so far.
    extensions: u64,
    body_max: u64,
    section_max: usize,
    fields_max: usize,
    trailers: Option<Box<HeaderMap>>,
}

/// The bytes that are expected next.
#[derive(Debug)]
enum State {
    /// A body of known length, of which this much is to come.
    Length(u64),
    Size(ChunkLine),
    /// The data of a chunk, of which this much is to come.
    Data(u64),
    DataCr,
    DataLf,
    /// The trailer section, as far as it has come.
    Trailers(Line, Vec<u8>),
    Done,
}

/// Refuses a body whose announced length is above the limit, before any of it is read.
pub(crate) fn check_length(framing: &Framing, limits: &Limits) -> Result<(), Reject> {
    match framing {
        Framing::Length(length) if *length > limits.body => Err(Reject::BodyTooLarge),
        _ => Ok(()),
    }
}

impl BodyDecoder {
    /// A decoder for a body framed like this.
    pub(crate) fn new(framing: &Framing, limits: &Limits) -> Self {
        let state = match *framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size(ChunkLine::START),
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
        matches!(self.state, State::Done)
    }

    /// Takes from `input` what it can: how many bytes, and which of them are body (none, if they
    /// are framing only).
    ///
    /// To be called again, with what is left, while it takes something. When it takes nothing, it
    /// needs more input, or the body has ended.
    ///
    /// # Errors
    /// A [`Reject`] at the first byte that breaks the framing, or exceeds a limit.
    pub(crate) fn decode(&mut self, input: &[u8]) -> Result<(usize, Range<usize>), Reject> {
        let mut at = 0;
        while at < input.len() && !self.is_done() {
            let direct = self.direct();
            if direct > 0 {
                let left = input.len() - at;
                let n = usize::try_from(direct).map_or(left, |direct| direct.min(left));
                self.advance(n as u64);
                return Ok((at + n, at..at + n));
            }
            self.step(input[at])?;
            at += 1;
        }
        Ok((at, at..at))
    }

    /// How many of the next bytes are body and nothing else: so many may be read straight to where
    /// they are wanted, past [`decode`](Self::decode).
    pub(crate) fn direct(&self) -> u64 {
        match self.state {
            State::Length(left) | State::Data(left) => left,
            _ => 0,
        }
    }

    /// Tells that `n` bytes, at most [`direct`](Self::direct), were read past the decoder.
    pub(crate) fn advance(&mut self, n: u64) {
        debug_assert!(n <= self.direct(), "{n} bytes of {}", self.direct());
        match &mut self.state {
            State::Length(left) if *left <= n => self.state = State::Done,
            State::Data(left) if *left <= n => self.state = State::DataCr,
            State::Length(left) | State::Data(left) => *left -= n,
            _ => {}
        }
    }

    /// The trailer fields, once the body has ended, if there were any. None of them speaks about
    /// framing, routing or the like (RFC 9110 §6.5.1).
    pub(crate) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take().map(|trailers| *trailers)
    }

    /// Takes one byte of framing.
    fn step(&mut self, byte: u8) -> Result<(), Reject> {
        match &mut self.state {
            State::Size(line) => {
                let size = line.step(byte)?;
                if line.in_extension() {
                    self.extensions += 1;
                    // In all no more than the data they came with, so that a body cannot be made of
                    // extensions.
                    if self.extensions > self.announced.saturating_add(self.section_max as u64) {
                        return Err(Reject::ChunkExtensionTooLong);
                    }
                }
                if let Some(size) = size {
                    self.start_chunk(size)?;
                }
            }
            State::DataCr if byte == b'\r' => self.state = State::DataLf,
            State::DataLf if byte == b'\n' => self.state = State::Size(ChunkLine::START),
            State::DataCr | State::DataLf => return Err(Reject::ChunkEnd),
            State::Trailers(line, section) => {
                *line = line.step(byte)?;
                if section.len() >= self.section_max.max(2) {
                    return Err(Reject::TrailersTooLarge);
                }
                section.push(byte);
                if *line == Line::Done {
                    let section = mem::take(section);
                    self.finish(section)?;
                }
            }
            State::Length(_) | State::Data(_) | State::Done => {}
        }
        Ok(())
    }

    fn start_chunk(&mut self, size: u64) -> Result<(), Reject> {
        if size == 0 {
            self.state = State::Trailers(Line::FieldStart, Vec::new());
            return Ok(());
        }
        let total = self.announced.checked_add(size).filter(|&total| total <= self.body_max);
        self.announced = total.ok_or(Reject::BodyTooLarge)?;
        self.state = State::Data(size);
        Ok(())
    }

    fn finish(&mut self, section: Vec<u8>) -> Result<(), Reject> {
        if section.len() > 2 {
            let trailers = read_trailers(section, self.fields_max)?;
            if trailers.keys().any(is_forbidden_trailer) {
                return Err(Reject::TrailerForbidden);
            }
            self.trailers = Some(Box::new(trailers));
        }
        self.state = State::Done;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
