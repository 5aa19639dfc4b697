//! The head of a request: from bytes to [`Head`], or to a [`Reject`]. No socket, no clock.
//!
//! Two readers agree on every head. The *scanner* goes byte by byte, can stop and go on anywhere,
//! and tells which rule is broken; it reads heads that come in pieces, and heads that are no good.
//! The *builder* reads a head that is there whole, as nearly all are, in one go.

mod fields;
mod framing;
mod names;
pub(super) mod scan;
mod target;
mod timeout_field;

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use memchr::memmem::Finder;

use super::reject::Reject;
use crate::config::Limits;
use names::Names;
use target::Form;

/// Where a request's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// After this many bytes.
    Length(u64),
    /// With the last chunk and its trailers.
    Chunked,
}

/// The head of a request.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// HTTP/1.0 or HTTP/1.1.
    pub(crate) version: Version,
    /// With Host replaced where the target names the host.
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
    /// Whether the client wants the connection kept, by version and Connection.
    pub(crate) keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body that it announced.
    pub(crate) expects_continue: bool,
    /// Whether the client offers to upgrade.
    pub(crate) upgrade: bool,
    /// How long the client waits for the answer, if it says so.
    pub(crate) patience: Option<Duration>,
}

/// Bytes of a block that the heads of many requests are copied to, one after the other.
const BLOCK: usize = 8 * 1024;
/// Fields for which a header map is kept for reuse; a larger one is freed.
const SPARE_FIELDS: usize = 128;

/// Parses heads; keeps memory between requests so that a busy worker does not allocate.
///
/// # Examples
/// ```ignore
/// let mut parser = HeadParser::new(&Limits::default());
/// let mut scanned = 0;
/// let input = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
/// let (used, head) = parser.parse(input, &mut scanned)?.expect("a whole head");
/// assert_eq!(&input[used..], b"rest");
/// ```
pub(crate) struct HeadParser {
    head_max: usize,
    target_max: usize,
    fields_max: usize,
    timeout_field: Box<[u8]>,
    empty_line: Finder<'static>,
    /// Where heads are copied to. Its blocks are used again once no header value refers to them.
    memory: BytesMut,
    spare: Option<HeaderMap>,
    names: Names,
}

impl HeadParser {
    /// A parser with these bounds on heads.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            head_max: limits.head,
            target_max: limits.target,
            fields_max: limits.fields,
            timeout_field: Box::default(),
            empty_line: Finder::new(b"\r\n\r\n"),
            memory: BytesMut::new(),
            spare: None,
            names: Names::new(),
        }
    }

    /// Reads how long a client waits from the field of this name; empty: from none.
    pub(crate) fn with_timeout_field(mut self, name: &str) -> Self {
        self.timeout_field = name.as_bytes().into();
        self
    }

    /// Reads the head at the start of `input`: its length and itself, or `None` while it is
    /// incomplete.
    ///
    /// `scanned` is 0 at the start of each head, and is otherwise this parser's to set (it holds a
    /// place and a state); the caller keeps it with the connection and leaves `input` starting
    /// where it did. Every byte of a head that comes in pieces is scanned once.
    ///
    /// # Errors
    /// A [`Reject`] at the first byte that can belong to no request.
    pub(crate) fn parse(
        &mut self,
        input: &[u8],
        scanned: &mut usize,
    ) -> Result<Option<(usize, Head)>, Reject> {
        let mut outcome = None;
        if *scanned == 0 {
            let window = &input[..input.len().min(self.head_max)];
            // The line before the empty one may be the request line itself, or the empty line that
            // is tolerated before that; only the scanner tells.
            if let Some(at) = self.empty_line.find(window) {
                match self.build(&input[..at + 4]) {
                    Ok(head) => return Ok(Some((at + 4, head))),
                    Err(reject) => outcome = Some(reject),
                }
            }
        }
        let Some(end) = scan::scan(input, scanned, self.head_max, self.target_max)? else {
            return Ok(None);
        };
        let head = match outcome {
            Some(reject) => return Err(reject),
            None => self.build(&input[..end])?,
        };
        *scanned = 0;
        Ok(Some((end, head)))
    }

    /// Gives a header map back for reuse.
    pub(crate) fn recycle(&mut self, mut headers: HeaderMap) {
        if headers.capacity() <= SPARE_FIELDS {
            headers.clear();
            self.spare = Some(headers);
        }
    }

    fn build(&mut self, input: &[u8]) -> Result<Head, Reject> {
        let line = target::read_line(input, self.target_max)?;
        let block = self.copy(input);
        let mut headers = self.spare.take().unwrap_or_else(|| HeaderMap::with_capacity(16));
        let (most, patience) = (self.fields_max, &self.timeout_field);
        let result = fields::read(&block, line.end, most, patience, &mut self.names, &mut headers)
            .and_then(|notes| {
                framing::check_host(&block, &notes.host, &line)?;
                framing::check_content_type(&notes, &headers)?;
                let framing = framing::framing(&block, &notes, &headers, line.version)?;
                let uri = target::to_uri(block.slice(line.target.clone()))?;
                Ok((notes, framing, uri))
            });
        let (notes, framing, uri) = match result {
            Ok(parts) => parts,
            Err(reject) => {
                self.recycle(headers);
                return Err(reject);
            }
        };
        if let Form::Absolute(authority) = line.form {
            // RFC 9112 §3.2.2: the target wins, and what the client said of the host is forgotten.
            let host = HeaderValue::from_maybe_shared(block.slice(authority));
            headers.insert(HOST, host.map_err(|_| Reject::Target)?);
        }
        let mut head = Head {
            method: line.method,
            uri,
            version: line.version,
            headers,
            framing,
            keep_alive: false,
            expects_continue: false,
            upgrade: false,
            patience: None,
        };
        if notes.patience.lines == 1 {
            head.patience = timeout_field::parse(&block[notes.patience.value.clone()]);
        }
        framing::options(&mut head, &notes)?;
        Ok(head)
    }

    /// A copy of the head that its values share.
    fn copy(&mut self, head: &[u8]) -> Bytes {
        if self.memory.capacity() < head.len() {
            self.memory.reserve(head.len().max(BLOCK));
        }
        self.memory.extend_from_slice(head);
        self.memory.split().freeze()
    }
}

impl fmt::Debug for HeadParser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadParser").field("head_max", &self.head_max).finish_non_exhaustive()
    }
}

/// Reads a trailer section, whole and checked by the scanner.
pub(super) fn read_trailers(section: Vec<u8>, fields_max: usize) -> Result<HeaderMap, Reject> {
    let mut trailers = HeaderMap::new();
    fields::read(&Bytes::from(section), 0, fields_max, b"", &mut Names::new(), &mut trailers)?;
    Ok(trailers)
}

#[cfg(test)]
mod tests;
