//! Writing a body of any kind to its end, without a connection.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use http::HeaderMap;

use super::body::{Body, BodyKind, BodyWriter};
use crate::pool::Segment;

/// How many bytes of a file are read at once.
const PIECE: usize = 64 * 1024;

impl Body {
    /// The body, with a function or files read into memory, as reading it is not supported.
    ///
    /// # Errors
    /// Those of [`write_to`](Self::write_to).
    pub(crate) fn into_readable(self) -> io::Result<Self> {
        if !matches!(self.0, BodyKind::Writer(_) | BodyKind::Segments(_)) {
            return Ok(self);
        }
        let length = self.length();
        let mut bytes = Vec::new();
        self.write_to(&mut bytes)?;
        Ok(Self::from_reader(io::Cursor::new(bytes), length))
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
                return Ok(writer.trailers);
            }
            BodyKind::Segments(segments) => {
                for segment in segments {
                    write_segment(&segment, sink)?;
                }
            }
            kind => {
                let mut body = Self(kind);
                io::copy(&mut body.by_ref(), sink)?;
                return Ok(body.trailers());
            }
        }
        Ok(None)
    }
}

fn write_segment(segment: &Segment, sink: &mut dyn Write) -> io::Result<()> {
    match segment {
        Segment::Bytes(bytes) => sink.write_all(bytes),
        Segment::File { file, offset, length } => write_file(file, *offset, *length, sink),
    }
}

fn write_file(file: &File, offset: u64, length: u64, sink: &mut dyn Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let (mut at, mut left) = (offset, length);
    while left > 0 {
        let size = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        file.read_exact_at(&mut piece[..size], at)?;
        sink.write_all(&piece[..size])?;
        at += size as u64;
        left -= size as u64;
    }
    Ok(())
}
