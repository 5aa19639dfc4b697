//! Writing a body of any kind to its end, without a connection.

use std::io::{self, Read, Write};

use http::HeaderMap;

use super::body::{Body, BodyKind, BodyWriter};

impl Body {
    /// The body, with a function replaced by what it writes, as a request over a connection has it.
    ///
    /// # Errors
    /// Those of [`write_to`](Self::write_to).
    pub(crate) fn into_readable(self) -> io::Result<Self> {
        if !matches!(self.0, BodyKind::Writer(_)) {
            return Ok(self);
        }
        let mut bytes = Vec::new();
        self.write_to(&mut bytes)?;
        Ok(Self::from_reader(io::Cursor::new(bytes), None))
    }

    /// Writes the whole body to `sink`, and returns its trailer fields.
    ///
    /// # Errors
    /// Those of the source of the body, and of `sink`. `UnexpectedEof` for a file that is too
    /// short.
    pub(crate) fn write_to(self, sink: &mut dyn Write) -> io::Result<Option<HeaderMap>> {
        match self.0 {
            BodyKind::Writer(write) => {
                let mut writer = BodyWriter { sink, trailers: None };
                write(&mut writer)?;
                Ok(writer.trailers)
            }
            kind => {
                let mut body = Self(kind);
                io::copy(&mut body.by_ref(), sink)?;
                Ok(body.trailers())
            }
        }
    }
}
