//! [`Multipart`]: the parts of an upload, read one after the other.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

use super::body::Body;
use super::body_error::BodyError;
use super::request::Request;
use super::request_error::RequestError;
use crate::http::codec::multipart::{
    Boundary, MultipartEvent, MultipartFault, MultipartLimits, MultipartParser, MultipartRule,
    PartHead,
};

/// Bytes of the body that are read at once. It is more than the parser leaves unused, which is at
/// most the length of a delimiter (74 bytes).
const BUFFER: usize = 16 * 1024;

impl Request {
    /// The parts of a body of the type `multipart/form-data` (RFC 7578), which HTML forms with
    /// files send. They are read from the connection one after the other, and never kept in memory:
    /// that takes one buffer of 16 KiB and the head of one part.
    ///
    /// # Errors
    /// 415 for another `Content-Type`, 400 for a missing or invalid boundary in it, and 413 if the
    /// announced length exceeds [`MultipartLimits::total`].
    ///
    /// # Examples
    /// ```
    /// use std::io;
    /// use millpond::http::{MultipartLimits, Problem, Request};
    ///
    /// /// Reads a form with a title and a photo, which may have 100 MiB.
    /// fn upload(req: &mut Request) -> Result<String, Problem> {
    ///     let mut limits = MultipartLimits::default();
    ///     limits.part = 100 << 20;
    ///     limits.total = 101 << 20;
    ///     let (mut title, mut length) = (String::new(), 0);
    ///     let mut form = req.multipart(limits)?;
    ///     while let Some(mut part) = form.next_part()? {
    ///         match part.name() {
    ///             "title" => title = part.read_text(1000)?,
    ///             "photo" => length = io::copy(&mut part, &mut io::sink())?,
    ///             _ => {} // The next call skips it.
    ///         }
    ///     }
    ///     Ok(format!("{title}: {length} bytes"))
    /// }
    /// ```
    pub fn multipart(&mut self, limits: MultipartLimits) -> Result<Multipart<'_>, RequestError> {
        let content_type = self.headers().get(CONTENT_TYPE).map_or(&b""[..], |it| it.as_bytes());
        let boundary = Boundary::from_content_type(content_type)?;
        if self.body().length().is_some_and(|length| length > limits.total) {
            let rule = MultipartRule::TotalTooLong(limits.total);
            return Err(MultipartFault { part: 0, rule }.into());
        }
        Ok(Multipart {
            body: self.body_mut(),
            parser: MultipartParser::new(&boundary, limits),
            buffer: vec![0; BUFFER].into(),
            unparsed: 0..0,
            data: 0..0,
            is_in_part: false,
            failure: None,
        })
    }
}

/// The parts of an upload; see [`Request::multipart`].
pub struct Multipart<'r> {
    body: &'r mut Body,
    parser: MultipartParser,
    buffer: Box<[u8]>,
    /// The part of the buffer that the parser has not used.
    unparsed: Range<usize>,
    /// Data of the current part that it has found, and that was not read yet.
    data: Range<usize>,
    /// Whether the current part has not been read to its end.
    is_in_part: bool,
    /// Why the body cannot be read, for every call after the one that found out.
    failure: Option<(StatusCode, String)>,
}

impl<'r> Multipart<'r> {
    /// The next part, or `None` after the last one. The rest of the part before is skipped, unless
    /// it was read; it counts towards the limits.
    ///
    /// # Errors
    /// 400 for a malformed body, 413 where it exceeds one of the limits, and the errors of reading
    /// the body, which have their own status (408 for a slow client). No part can be read after an
    /// error.
    pub fn next_part(&mut self) -> Result<Option<Part<'_, 'r>>, RequestError> {
        loop {
            self.data = 0..0;
            match self.step()? {
                Some(MultipartEvent::Head(head)) => {
                    self.is_in_part = true;
                    return Ok(Some(Part { form: self, head }));
                }
                Some(MultipartEvent::Data(_)) => {}
                Some(MultipartEvent::PartEnd) => self.is_in_part = false,
                None => return Ok(None),
            }
        }
    }

    /// Reads the body up to the next event; `None` at its end.
    fn step(&mut self) -> Result<Option<MultipartEvent>, UploadError> {
        loop {
            let start = self.unparsed.start;
            let (used, event) = self.parser.next(&self.buffer[self.unparsed.clone()])?;
            self.unparsed.start += used;
            match event {
                Some(MultipartEvent::Data(data)) => {
                    let data = start + data.start..start + data.end;
                    return Ok(Some(MultipartEvent::Data(data)));
                }
                Some(event) => return Ok(Some(event)),
                None if used > 0 => {}
                None if self.fill()? > 0 => {}
                None => {
                    self.parser.finish()?;
                    return Ok(None);
                }
            }
        }
    }

    /// Reads a piece of the body behind what the parser left. 0 is the end.
    fn fill(&mut self) -> Result<usize, UploadError> {
        if let Some((status, message)) = &self.failure {
            return Err(UploadError::Again(*status, message.clone()));
        }
        self.buffer.copy_within(self.unparsed.clone(), 0);
        self.unparsed = 0..self.unparsed.len();
        loop {
            match self.body.read(&mut self.buffer[self.unparsed.end..]) {
                Ok(count) => {
                    self.unparsed.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let error = BodyError::of(error);
                    self.failure = Some((error.status(), error.to_string()));
                    return Err(UploadError::Body(error));
                }
            }
        }
    }

    /// Reads data of the current part. 0 is its end.
    fn read_data(&mut self, buf: &mut [u8]) -> Result<usize, UploadError> {
        while self.data.is_empty() && self.is_in_part && !buf.is_empty() {
            match self.step()? {
                Some(MultipartEvent::Data(data)) => self.data = data,
                _ => self.is_in_part = false,
            }
        }
        let count = self.data.len().min(buf.len());
        buf[..count].copy_from_slice(&self.buffer[self.data.start..self.data.start + count]);
        self.data.start += count;
        Ok(count)
    }
}

impl fmt::Debug for Multipart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multipart").field("part", &self.parser.part()).finish_non_exhaustive()
    }
}

/// A part of an upload: a field of the form, or a file. Its data is read through [`Read`].
///
/// The data stays as it was sent. A part that is multipart itself is data like any other (RFC 7578
/// §4.3 retired that form).
///
/// # Errors
/// Reading fails like [`Multipart::next_part`]; the errors keep their status when they become a
/// response.
pub struct Part<'m, 'r> {
    form: &'m mut Multipart<'r>,
    head: PartHead,
}

impl Part<'_, '_> {
    /// The name of the form's field. Several parts may have the same name: files of one field do.
    ///
    /// It is as the client sent it. Browsers encode a quote as `%22` and a line end as `%0D%0A`,
    /// and leave percent signs as they are.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// The name that the client gave the file, as it was sent; `None` for a field without file. It
    /// is empty if the user chose no file.
    ///
    /// **Never use it as a path**: it can be any text, `../../etc/passwd` among others. To show it,
    /// use [`base_name`](Self::base_name). Store the file under a name of your own.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.head.file_name.as_deref()
    }

    /// The file name without the directories that some clients send with it (`C:\photos\mill.jpg`);
    /// `None` if nothing is left, or only dots.
    ///
    /// It has no `/` and no `\`, and is otherwise any text. It is for people: as the name of a file
    /// of the server, it could be one that exists, is hidden or has a meaning (`.htaccess`,
    /// `index.php`, `con`).
    #[must_use]
    pub fn base_name(&self) -> Option<&str> {
        base_name(self.file_name()?)
    }

    /// The `Content-Type` that the client claims. Without one, it is `text/plain` (RFC 7578 §4.4).
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.head.headers.get(CONTENT_TYPE)?.to_str().ok()
    }

    /// The fields of the part's head. RFC 7578 §4.8 has only `Content-Disposition`, `Content-Type`
    /// and `Content-Transfer-Encoding`.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Reads the rest of the part, if it has at most `max` bytes.
    ///
    /// # Errors
    /// 413 for a longer part; those of [`Multipart::next_part`].
    pub fn read_bytes(&mut self, max: u64) -> Result<Vec<u8>, RequestError> {
        let mut bytes = Vec::new();
        loop {
            // The vector grows with what arrives, not with what the handler would accept.
            let length = bytes.len();
            bytes.resize(length + READ_SIZE, 0);
            let count = self.form.read_data(&mut bytes[length..])?;
            bytes.truncate(length + count);
            if bytes.len() as u64 > max {
                return Err(self.fault(MultipartRule::PartTooLong(max)).into());
            }
            if count == 0 {
                return Ok(bytes);
            }
        }
    }

    /// Reads the rest of the part, if it is text (UTF-8) of at most `max` bytes.
    ///
    /// # Errors
    /// Those of [`read_bytes`](Self::read_bytes), and 400 if the part is not UTF-8.
    pub fn read_text(&mut self, max: u64) -> Result<String, RequestError> {
        let bytes = self.read_bytes(max)?;
        String::from_utf8(bytes).map_err(|_| self.fault(MultipartRule::NotUtf8).into())
    }

    fn fault(&self, rule: MultipartRule) -> MultipartFault {
        MultipartFault { part: self.form.parser.part(), rule }
    }
}

/// Bytes by which the vector of [`Part::read_bytes`] grows at least.
const READ_SIZE: usize = 4096;

impl Read for Part<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.form.read_data(buf)?)
    }
}

impl fmt::Debug for Part<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("name", &self.head.name)
            .field("file_name", &self.head.file_name)
            .finish_non_exhaustive()
    }
}

/// Why the next piece of an upload cannot be read.
enum UploadError {
    Fault(MultipartFault),
    Body(BodyError),
    /// The body could not be read before.
    Again(StatusCode, String),
}

impl From<MultipartFault> for UploadError {
    fn from(fault: MultipartFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<MultipartFault> for RequestError {
    fn from(fault: MultipartFault) -> Self {
        Self::new(fault.rule.status(), fault.to_string())
    }
}

impl From<UploadError> for RequestError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Fault(fault) => fault.into(),
            UploadError::Body(error) => error.into(),
            UploadError::Again(status, message) => Self::new(status, message),
        }
    }
}

/// The error of a body keeps its kind.
impl From<UploadError> for io::Error {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Body(error) => error.into(),
            error => Self::new(io::ErrorKind::InvalidData, RequestError::from(error)),
        }
    }
}

/// The part of a file name behind its last slash or backslash; `None` if it is empty or only dots.
fn base_name(file_name: &str) -> Option<&str> {
    let base = file_name.rsplit(['/', '\\']).next()?;
    (!base.bytes().all(|byte| byte == b'.')).then_some(base)
}
