//! [`Body`]: what is read of a request, and what an answer is made of.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::{BodyError, Incoming, Segment};

/// The body of a request or an answer.
///
/// A request's is read through [`Read`]; it comes from the connection piece by piece. An answer's
/// is made from bytes or text, from a reader, from a function that writes, or from pieces of files.
#[derive(Default)]
pub struct Body(pub(crate) Kind);

#[derive(Default)]
pub(crate) enum Kind {
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
}

pub(crate) type WriteBody = dyn FnOnce(&mut BodyWriter<'_>) -> io::Result<()> + Send;

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// What `reader` gives until it ends, sent as it comes. With a `length` it is announced, and
    /// the connection is cut if the reader gives another; without, the body is chunked (HTTP/1.1),
    /// or ends with the connection (HTTP/1.0).
    pub fn from_reader(reader: impl Read + Send + 'static, length: Option<u64>) -> Self {
        Self(Kind::Reader { reader: Box::new(reader), length })
    }

    /// What `write` writes, sent as it comes. It runs on the worker, after the handler has
    /// returned.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Body, Response};
    /// use std::io::Write;
    ///
    /// let answer = Response::new(Body::from_writer(|out| {
    ///     for n in 1..=3 {
    ///         writeln!(out, "line {n}")?;
    ///         out.flush()?; // on its way now
    ///     }
    ///     Ok(())
    /// }));
    /// ```
    pub fn from_writer(
        write: impl FnOnce(&mut BodyWriter<'_>) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self(Kind::Writer(Box::new(write)))
    }

    /// `length` bytes of `file` from `offset` on, sent by sendfile(2) and without holding a worker
    /// while the client is slow.
    #[must_use]
    pub fn from_file(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self(Kind::Segments(vec![Segment::File { file, offset, length }]))
    }

    /// Several pieces, one after the other.
    #[must_use]
    pub fn from_segments(segments: Vec<Segment>) -> Self {
        Self(Kind::Segments(segments))
    }

    /// How many bytes it has, if that is known before they are read. A request's: as
    /// `Content-Length` said.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            Kind::Empty => Some(0),
            Kind::Bytes(bytes) => Some(bytes.len() as u64),
            Kind::Incoming(incoming) => incoming.length(),
            Kind::Reader { length, .. } => *length,
            Kind::Writer(_) => None,
            Kind::Segments(segments) => Some(segments.iter().map(Segment::len).sum()),
        }
    }

    /// Reads a request's body whole, if it has at most `max` bytes.
    ///
    /// # Errors
    /// `FileTooLarge` for a longer body, which is not read if its length was announced; otherwise
    /// as for reading. [`Response::from`](super::Response) makes the right status of each.
    pub fn read_bytes(&mut self, max: u64) -> io::Result<Vec<u8>> {
        if self.length().is_some_and(|length| length > max) {
            return Err(BodyError::TooLong.into());
        }
        let mut bytes = Vec::new();
        self.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
        match bytes.len() as u64 <= max {
            true => Ok(bytes),
            false => Err(BodyError::TooLong.into()),
        }
    }

    /// Reads a request's body whole, if it is text (UTF-8) of at most `max` bytes.
    ///
    /// # Errors
    /// As [`Body::read_bytes`], and `InvalidData` for what is not UTF-8.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Request, Response};
    ///
    /// fn shout(req: &mut Request) -> Response {
    ///     match req.body_mut().read_text(10_000) {
    ///         Ok(text) => Response::text(text.to_uppercase()),
    ///         Err(error) => Response::from(error), // 413, 408 or 400
    ///     }
    /// }
    /// ```
    pub fn read_text(&mut self, max: u64) -> io::Result<String> {
        let bytes = self.read_bytes(max)?;
        String::from_utf8(bytes).map_err(|_| BodyError::NotText.into())
    }

    /// The trailer fields of a request whose body was chunked, once it has been read to its end.
    #[must_use]
    pub fn trailers(&self) -> Option<HeaderMap> {
        match &self.0 {
            Kind::Incoming(incoming) => incoming.trailers(),
            _ => None,
        }
    }
}

/// Reads a request's body, or an answer's that is made of bytes or of a reader.
///
/// # Errors
/// For a request's body: `TimedOut` when the client is too slow, `FileTooLarge` past
/// [`Limits::body`](crate::config::Limits::body), `InvalidData` for malformed chunks,
/// `UnexpectedEof` when the client closes before the end, `BrokenPipe` once the exchange is over.
/// `Unsupported` for a body that is made by a function or of files.
impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Empty => Ok(0),
            Kind::Bytes(bytes) => {
                let n = bytes.len().min(buf.len());
                buf[..n].copy_from_slice(&bytes.split_to(n));
                Ok(n)
            }
            Kind::Incoming(incoming) => incoming.read(buf),
            Kind::Reader { reader, .. } => reader.read(buf),
            Kind::Writer(_) | Kind::Segments(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    // The provided methods report a body that is too short, or no text, by errors that cannot be
    // told from those of any other reader.

    fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        let more = std::str::from_utf8(&bytes).map_err(|_| BodyError::NotText)?;
        text.push_str(more);
        Ok(bytes.len())
    }

    fn read_exact(&mut self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read(buf) {
                Ok(0) => return Err(BodyError::TooShort.into()),
                Ok(count) => buf = &mut buf[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Empty => "Empty",
            Kind::Bytes(_) => "Bytes",
            Kind::Incoming(_) => "Incoming",
            Kind::Reader { .. } => "Reader",
            Kind::Writer(_) => "Writer",
            Kind::Segments(_) => "Segments",
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
        Self(Kind::Bytes(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Kind::Bytes(bytes.into()))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(Kind::Bytes(text.into()))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self(Kind::Bytes(Bytes::from_static(text.as_bytes())))
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Kind::Bytes(Bytes::from_static(bytes)))
    }
}

/// Where a body made by a function is written to; see [`Body::from_writer`].
///
/// Writes are gathered; `flush` sends what has been gathered.
pub struct BodyWriter<'a> {
    pub(crate) sink: &'a mut dyn io::Write,
    pub(crate) trailers: Option<HeaderMap>,
}

impl BodyWriter<'_> {
    /// Sets the trailer fields (RFC 9110 §6.5). They are sent after a chunked body; with any other
    /// framing they are dropped, as the RFC allows.
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
