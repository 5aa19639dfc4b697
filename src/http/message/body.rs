//! [`Body`]: the body of a request or a response.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::body_error::{BodyError, BodyFault};
use super::incoming::Incoming;
use super::problem::Problem;
use crate::pool::Segment;

/// The body of a request or a response.
///
/// The body of a request is read through [`Read`], from the connection and piece by piece. The body
/// of a response is made from bytes or text, from a reader, from a function that writes, or from
/// parts of files.
#[derive(Default)]
pub struct Body(pub(crate) BodyKind);

/// The source of a body's bytes.
#[derive(Default)]
pub(crate) enum BodyKind {
    #[default]
    Empty,
    Bytes(Bytes),
    Incoming(Incoming),
    Reader {
        reader: Box<dyn Read + Send>,
        length: Option<u64>,
    },
    Writer(Box<WriteBody>),
    Segments(Vec<Segment>),
    /// An error, which is written in the client's format when it is sent.
    Problem(Problem),
}

pub(crate) type WriteBody = dyn FnOnce(&mut BodyWriter<'_>) -> io::Result<()> + Send;

impl Body {
    /// An empty body.
    #[must_use]
    pub fn empty() -> Self {
        Self(BodyKind::Empty)
    }

    /// A body that is read from `reader` while it is sent. A `length` is announced, and the
    /// connection is cut if the reader returns more or fewer bytes. Without a length, the body is
    /// chunked (HTTP/1.1), or ends with the connection (HTTP/1.0).
    pub fn from_reader(reader: impl Read + Send + 'static, length: Option<u64>) -> Self {
        Self(BodyKind::Reader { reader: Box::new(reader), length })
    }

    /// A body that `write` writes while it is sent. `write` runs on the worker, after the handler
    /// has returned.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Body, Response};
    /// use std::io::Write;
    ///
    /// let response = Response::new(Body::from_writer(|out| {
    ///     for n in 1..=3 {
    ///         writeln!(out, "line {n}")?;
    ///         out.flush()?; // sends the line now
    ///     }
    ///     Ok(())
    /// }));
    /// ```
    pub fn from_writer(
        write: impl FnOnce(&mut BodyWriter<'_>) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self(BodyKind::Writer(Box::new(write)))
    }

    /// `length` bytes of `file`, starting at `offset`. They are sent by sendfile(2), and a slow
    /// client does not occupy a worker.
    #[must_use]
    pub fn from_file(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self(BodyKind::Segments(vec![Segment::File { file, offset, length }]))
    }

    /// A body of several segments, one after the other.
    #[must_use]
    pub fn from_segments(segments: Vec<Segment>) -> Self {
        Self(BodyKind::Segments(segments))
    }

    /// The length in bytes, if it is known before the body is read. For a request, it is that of
    /// `Content-Length`.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            BodyKind::Empty => Some(0),
            BodyKind::Bytes(bytes) => Some(bytes.len() as u64),
            BodyKind::Incoming(incoming) => incoming.length(),
            BodyKind::Reader { length, .. } => *length,
            BodyKind::Writer(_) => None,
            BodyKind::Problem(problem) => Some(problem.to_text().len() as u64),
            BodyKind::Segments(segments) => Some(segments.iter().map(Segment::len).sum()),
        }
    }

    /// Reads the whole body, if it has at most `max` bytes: that of a request, or in a middleware
    /// or a test that of a response, of any kind. The function of
    /// [`from_writer`](Self::from_writer) runs, and its trailers are dropped.
    ///
    /// # Errors
    /// A [`BodyError`], whose status is 413 for a longer body. It is not read if its length was
    /// announced.
    pub fn read_bytes(&mut self, max: u64) -> Result<Vec<u8>, BodyError> {
        if self.length().is_some_and(|length| length > max) {
            return Err(BodyError::of(BodyFault::TooLong.into()));
        }
        self.write_out(max, || BodyFault::TooLong.into()).map_err(BodyError::of)?;
        let mut bytes = Vec::new();
        self.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(BodyError::of)?;
        match bytes.len() as u64 <= max {
            true => Ok(bytes),
            false => Err(BodyError::of(BodyFault::TooLong.into())),
        }
    }

    /// Reads the whole body, if it is text (UTF-8) of at most `max` bytes.
    ///
    /// # Errors
    /// Those of [`Body::read_bytes`], and 400 if the body is not UTF-8.
    pub fn read_text(&mut self, max: u64) -> Result<String, BodyError> {
        let bytes = self.read_bytes(max)?;
        String::from_utf8(bytes).map_err(|_| BodyError::of(BodyFault::NotText.into()))
    }

    /// The trailer fields of a chunked request, once its body has been read to the end.
    #[must_use]
    pub fn trailers(&self) -> Option<HeaderMap> {
        match &self.0 {
            BodyKind::Incoming(incoming) => incoming.trailers(),
            _ => None,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            BodyKind::Empty => "Empty",
            BodyKind::Bytes(_) => "Bytes",
            BodyKind::Incoming(_) => "Incoming",
            BodyKind::Reader { .. } => "Reader",
            BodyKind::Writer(_) => "Writer",
            BodyKind::Segments(_) => "Segments",
            BodyKind::Problem(_) => "Problem",
        };
        f.debug_struct("Body").field("kind", &kind).field("length", &self.length()).finish()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(BodyKind::Bytes(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(BodyKind::Bytes(bytes.into()))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(BodyKind::Bytes(text.into()))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self(BodyKind::Bytes(Bytes::from_static(text.as_bytes())))
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self(BodyKind::Bytes(Bytes::from_static(bytes)))
    }
}

/// The writer of a body made by a function; see [`Body::from_writer`].
///
/// Writes are buffered; `flush` sends the buffered bytes.
pub struct BodyWriter<'a> {
    pub(crate) sink: &'a mut dyn io::Write,
    pub(crate) trailers: Option<HeaderMap>,
}

impl BodyWriter<'_> {
    /// Sets the trailer fields (RFC 9110 §6.5). They are sent after a chunked body, and dropped
    /// with any other framing, as the RFC allows.
    pub fn set_trailers(&mut self, trailers: HeaderMap) {
        self.trailers = Some(trailers);
    }
}

impl io::Write for BodyWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.sink.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl fmt::Debug for BodyWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter").field("trailers", &self.trailers).finish_non_exhaustive()
    }
}
