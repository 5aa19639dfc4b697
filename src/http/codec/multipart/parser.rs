//! [`MultipartParser`]: finds the parts of a body in the bytes that arrive.

use std::mem;
use std::ops::Range;

use memchr::memmem::Finder;
use memchr::memrchr;

use super::boundary::Boundary;
use super::fault::{MultipartFault, MultipartRule};
use super::limits::MultipartLimits;
use super::part_head::PartHead;
use crate::http::codec::request::scan::ScanState;

/// The most bytes before the first boundary. Browsers send none; mail programs write a line there.
const PREAMBLE_MAX: u64 = 1024;
/// The most bytes after the line of the last boundary. Most clients send none.
const EPILOGUE_MAX: u64 = 1024;

/// What the parser has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MultipartEvent {
    /// A part begins.
    Head(PartHead),
    /// Bytes of the part's data: their place in the input.
    Data(Range<usize>),
    /// The part is complete, and the line of the boundary after it is well-formed.
    PartEnd,
}

/// Parses a multipart body. It returns positions, copies no byte of data, and keeps only the part
/// head that it is in.
#[derive(Debug)]
pub(crate) struct MultipartParser {
    /// CRLF, two hyphens and the boundary. Its one carriage return is its first byte.
    delimiter: Finder<'static>,
    limits: MultipartLimits,
    state: MultipartState,
    /// The number of the part, from 1; 0 in the preamble.
    part: usize,
    /// Bytes that were used so far.
    used: u64,
    /// Bytes of the preamble, of the part's data, or of the epilogue so far.
    section: u64,
    /// The head of the part as far as it has arrived.
    head: Vec<u8>,
    fault: Option<MultipartFault>,
}

/// What is expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MultipartState {
    /// The first bytes of the preamble or of a part's data. The line end before a boundary was used
    /// already: it is the start of the body, or the empty line that ends the part's head.
    LineStart,
    /// Bytes of the preamble or of a part's data, up to the delimiter.
    Text,
    /// The bytes behind `--boundary`.
    Boundary,
    Hyphen,
    /// White space after a boundary (RFC 2046 §5.1.1, transport padding).
    Padding,
    LineFeed,
    Head(ScanState),
    /// The bytes behind `--boundary--`.
    Closed,
    ClosedLineFeed,
    Epilogue,
}

/// How many bytes were used, and what they contain.
type ParsedPiece = (usize, Option<MultipartEvent>);

impl MultipartParser {
    pub(crate) fn new(boundary: &Boundary, limits: MultipartLimits) -> Self {
        Self {
            delimiter: Finder::new(&boundary.delimiter()).into_owned(),
            limits,
            state: MultipartState::LineStart,
            part: 0,
            used: 0,
            section: 0,
            head: Vec::new(),
            fault: None,
        }
    }

    /// The number of the part that was begun last, from 1.
    pub(crate) fn part(&self) -> usize {
        self.part
    }

    /// Parses the start of `input`, up to the first event. Returns how many bytes were used.
    ///
    /// Call it again with the rest. When it uses no byte, it needs more input after the rest, which
    /// is then shorter than the delimiter (at most 74 bytes).
    ///
    /// # Errors
    /// A [`MultipartFault`] where the body breaks a rule or exceeds a limit, then at every call.
    pub(crate) fn next(&mut self, input: &[u8]) -> Result<ParsedPiece, MultipartFault> {
        let found = match self.fault {
            Some(fault) => Err(fault),
            None => self.parse(input).map_err(|rule| self.locate(rule)),
        };
        self.fault = found.as_ref().err().copied();
        found
    }

    /// Checks that the body may end here.
    ///
    /// # Errors
    /// `EndMissing` if it may not, or the fault that [`next`](Self::next) returned.
    pub(crate) fn finish(&mut self) -> Result<(), MultipartFault> {
        let is_complete = matches!(self.state, MultipartState::Closed | MultipartState::Epilogue);
        match self.fault {
            None if is_complete => Ok(()),
            None => {
                let fault = self.locate(MultipartRule::EndMissing);
                self.fault = Some(fault);
                Err(fault)
            }
            Some(fault) => Err(fault),
        }
    }

    fn locate(&self, rule: MultipartRule) -> MultipartFault {
        let is_outside = matches!(
            rule,
            MultipartRule::TotalTooLong(_)
                | MultipartRule::CloseLine
                | MultipartRule::EpilogueTooLong(_)
        );
        MultipartFault { part: if is_outside { 0 } else { self.part }, rule }
    }

    fn parse(&mut self, input: &[u8]) -> Result<ParsedPiece, MultipartRule> {
        // What is beyond the limit is not looked at, so that the result does not depend on how the
        // bytes were cut.
        let left = usize::try_from(self.limits.total - self.used).unwrap_or(usize::MAX);
        let within = &input[..input.len().min(left)];
        let (mut at, mut event) = (0, None);
        while at < within.len() && event.is_none() {
            let (used, found) = self.step(&within[at..])?;
            event = found.map(|found| match found {
                MultipartEvent::Data(data) => MultipartEvent::Data(at + data.start..at + data.end),
                found => found,
            });
            at += used;
            if used == 0 {
                break;
            }
        }
        if at == 0 && within.len() < input.len() {
            return Err(MultipartRule::TotalTooLong(self.limits.total));
        }
        self.used += at as u64;
        Ok((at, event))
    }

    /// Uses what belongs to the current state, of an input that is not empty.
    fn step(&mut self, input: &[u8]) -> Result<ParsedPiece, MultipartRule> {
        let byte = input[0];
        let mut event = None;
        self.state = match self.state {
            MultipartState::LineStart => return self.line_start(input),
            MultipartState::Text => return self.text(input),
            MultipartState::Head(state) => return self.head(input, state),
            MultipartState::Epilogue => return self.epilogue(input),
            MultipartState::Boundary | MultipartState::Padding => match byte {
                b'-' if self.state == MultipartState::Boundary => MultipartState::Hyphen,
                b' ' | b'\t' => MultipartState::Padding,
                b'\r' => MultipartState::LineFeed,
                // By RFC 2046 it is a boundary still, which the data before it must not have.
                _ => return Err(MultipartRule::BoundaryLine),
            },
            MultipartState::Hyphen if byte == b'-' => {
                event = self.end_part();
                MultipartState::Closed
            }
            MultipartState::LineFeed if byte == b'\n' => {
                event = self.end_part();
                self.part += 1;
                MultipartState::Head(ScanState::FieldStart)
            }
            MultipartState::Hyphen | MultipartState::LineFeed => {
                return Err(MultipartRule::BoundaryLine);
            }
            MultipartState::Closed => match byte {
                b' ' | b'\t' => MultipartState::Closed,
                b'\r' => MultipartState::ClosedLineFeed,
                _ => return Err(MultipartRule::CloseLine),
            },
            MultipartState::ClosedLineFeed if byte == b'\n' => {
                self.section = 0;
                MultipartState::Epilogue
            }
            MultipartState::ClosedLineFeed => return Err(MultipartRule::CloseLine),
        };
        Ok((1, event))
    }

    /// The preamble has an end too, but is not a part.
    fn end_part(&self) -> Option<MultipartEvent> {
        (self.part > 0).then_some(MultipartEvent::PartEnd)
    }

    fn line_start(&mut self, input: &[u8]) -> Result<ParsedPiece, MultipartRule> {
        let line = &self.delimiter.needle()[2..];
        let length = line.len();
        if input.starts_with(line) {
            self.state = MultipartState::Boundary;
            return Ok((length, None));
        }
        if line.starts_with(input) {
            return Ok((0, None));
        }
        self.state = MultipartState::Text;
        self.text(input)
    }

    fn text(&mut self, input: &[u8]) -> Result<ParsedPiece, MultipartRule> {
        let delimiter = self.delimiter.needle();
        let length = match self.delimiter.find(input) {
            Some(0) => {
                let length = delimiter.len();
                self.state = MultipartState::Boundary;
                return Ok((length, None));
            }
            Some(length) => length,
            None => certain_length(input, delimiter),
        };
        let (max, rule) = match self.part {
            0 => (PREAMBLE_MAX, MultipartRule::PreambleTooLong(PREAMBLE_MAX)),
            _ => (self.limits.part, MultipartRule::PartTooLong(self.limits.part)),
        };
        let length = self.count(length, max).ok_or(rule)?;
        let is_data = self.part > 0 && length > 0;
        Ok((length, is_data.then_some(MultipartEvent::Data(0..length))))
    }

    fn head(&mut self, input: &[u8], mut state: ScanState) -> Result<ParsedPiece, MultipartRule> {
        if self.part > self.limits.parts {
            return Err(MultipartRule::TooManyParts(self.limits.parts));
        }
        for (index, &byte) in input.iter().enumerate() {
            state = state.step(byte).map_err(MultipartRule::Field)?;
            if self.head.len() >= self.limits.head {
                return Err(MultipartRule::HeadTooLong(self.limits.head));
            }
            self.head.push(byte);
            if state == ScanState::Done {
                let head = PartHead::read(mem::take(&mut self.head), &self.limits)?;
                self.state = MultipartState::LineStart;
                self.section = 0;
                return Ok((index + 1, Some(MultipartEvent::Head(head))));
            }
        }
        self.state = MultipartState::Head(state);
        Ok((input.len(), None))
    }

    fn epilogue(&mut self, input: &[u8]) -> Result<ParsedPiece, MultipartRule> {
        let rule = MultipartRule::EpilogueTooLong(EPILOGUE_MAX);
        Ok((self.count(input.len(), EPILOGUE_MAX).ok_or(rule)?, None))
    }

    /// Counts as many of `length` bytes as the section may still have; `None`: it may have none.
    fn count(&mut self, length: usize, max: u64) -> Option<usize> {
        let left = usize::try_from(max - self.section).unwrap_or(usize::MAX);
        if left == 0 && length > 0 {
            return None;
        }
        let counted = length.min(left);
        self.section += counted as u64;
        Some(counted)
    }
}

/// How many bytes of an input without a delimiter cannot be the start of one.
fn certain_length(input: &[u8], delimiter: &[u8]) -> usize {
    let tail = input.len().saturating_sub(delimiter.len() - 1);
    match memrchr(b'\r', &input[tail..]) {
        Some(at) if delimiter.starts_with(&input[tail + at..]) => tail + at,
        _ => input.len(),
    }
}
