//! [`HeadParser`]: parses heads, and reuses its memory between requests.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderMap, HeaderValue};
use memchr::memmem::Finder;

use super::head::Head;
use super::name_cache::NameCache;
use super::request_line::{self, TargetForm};
use super::{fields, framing, scan, timeout_field};
use crate::config::Limits;
use crate::http::codec::reject::Reject;

/// The size of a block of memory that the heads of many requests are copied to, one after the
/// other.
const BLOCK_SIZE: usize = 8 * 1024;
/// The most fields for which a header map has capacity and is kept for reuse. A larger one is
/// freed.
const SPARE_FIELDS_MAX: usize = 128;

/// Parses heads. It keeps its memory between requests, so that a busy worker does not allocate.
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
    /// The scheme of the connection, which an absolute target must have.
    secure: bool,
    fields_max: usize,
    timeout_field: Box<[u8]>,
    empty_line: Finder<'static>,
    /// The memory that heads are copied to. A block is reused once no header value refers to it.
    memory: BytesMut,
    spare: Option<HeaderMap>,
    names: NameCache,
}

impl HeadParser {
    /// A parser with these limits.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            head_max: limits.head,
            target_max: limits.target,
            secure: false,
            fields_max: limits.fields,
            timeout_field: Box::default(),
            empty_line: Finder::new(b"\r\n\r\n"),
            memory: BytesMut::new(),
            spare: None,
            names: NameCache::new(),
        }
    }

    /// Sets the name of the field in which clients send their timeout. Empty: no field is read.
    pub(crate) fn with_timeout_field(mut self, name: &str) -> Self {
        self.timeout_field = name.as_bytes().into();
        self
    }

    /// Sets whether the heads come from connections that are encrypted.
    #[inline]
    pub(crate) fn set_secure(&mut self, secure: bool) {
        self.secure = secure;
    }

    /// Parses the head at the start of `input`. Returns its length and the head, or `None` while
    /// the head is incomplete.
    ///
    /// `scanned` is 0 at the start of each head. Afterwards only the parser changes it: it encodes
    /// the position and the state of the scanner. The caller stores it with the connection, and
    /// calls again with the same bytes and those that have arrived since. Each byte of a head that
    /// arrives in pieces is scanned once.
    ///
    /// # Errors
    /// A [`Reject`] at the first byte that can belong to no request.
    pub(crate) fn parse(
        &mut self,
        input: &[u8],
        scanned: &mut usize,
    ) -> Result<Option<(usize, Head)>, Reject> {
        let mut build_error = None;
        if *scanned == 0 {
            let window = &input[..input.len().min(self.head_max)];
            // If building fails, the empty line found may have been the one that is tolerated
            // before the request line. The scanner decides, and finds which rule is broken.
            if let Some(at) = self.empty_line.find(window) {
                match self.build(&input[..at + 4]) {
                    Ok(head) => return Ok(Some((at + 4, head))),
                    Err(reject) => build_error = Some(reject),
                }
            }
        }
        let Some(end) = scan::scan(input, scanned, self.head_max, (self.target_max, self.secure))?
        else {
            return Ok(None);
        };
        let head = match build_error {
            Some(reject) => return Err(reject),
            None => self.build(&input[..end])?,
        };
        *scanned = 0;
        Ok(Some((end, head)))
    }

    /// Takes a header map back for reuse.
    pub(crate) fn recycle(&mut self, mut headers: HeaderMap) {
        if headers.capacity() <= SPARE_FIELDS_MAX {
            headers.clear();
            self.spare = Some(headers);
        }
    }

    fn build(&mut self, input: &[u8]) -> Result<Head, Reject> {
        let line = request_line::read(input, (self.target_max, self.secure))?;
        let block = self.copy(input);
        let mut headers = self.spare.take().unwrap_or_else(|| HeaderMap::with_capacity(16));
        let (fields_max, timeout_field) = (self.fields_max, &self.timeout_field);
        let names = &mut self.names;
        let result = fields::read(&block, line.end, fields_max, timeout_field, names, &mut headers)
            .and_then(|known| {
                framing::check_host(&block, &known.host, &line)?;
                framing::check_content_type(&known, &headers)?;
                let framing = framing::framing(&block, &known, &headers, line.version)?;
                let uri = request_line::to_uri(block.slice(line.target.clone()))?;
                Ok((known, framing, uri))
            });
        let (known, framing, uri) = match result {
            Ok(parts) => parts,
            Err(reject) => {
                self.recycle(headers);
                return Err(reject);
            }
        };
        if let TargetForm::Absolute(authority) = line.form {
            // RFC 9112 §3.2.2: the host in the target replaces the value of Host.
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
            client_timeout: None,
        };
        if known.client_timeout.lines == 1 {
            head.client_timeout = timeout_field::parse(&block[known.client_timeout.value.clone()]);
        }
        framing::set_options(&mut head, &known)?;
        Ok(head)
    }

    /// Copies the head to memory that its header values share.
    fn copy(&mut self, head: &[u8]) -> Bytes {
        if self.memory.capacity() < head.len() {
            self.memory.reserve(head.len().max(BLOCK_SIZE));
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

/// Reads a complete section of field lines without a request line, which the scanner has checked:
/// trailers, or the head of a part.
pub(crate) fn read_section(section: Vec<u8>, fields_max: usize) -> Result<HeaderMap, Reject> {
    let mut headers = HeaderMap::new();
    fields::read(&Bytes::from(section), 0, fields_max, b"", &mut NameCache::new(), &mut headers)?;
    Ok(headers)
}
