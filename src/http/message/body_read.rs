//! Reading a body of any kind.

use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::body::{Body, BodyKind, BodyWriter};
use super::body_error::BodyFault;
use crate::pool::Segment;

/// The most bytes that reading a body made by a function keeps in memory.
const WRITTEN_MAX: u64 = 16 << 20;

/// Reads the body of a request, or that of a response, of any kind. A body made by a function is
/// written to memory at the first read. The rest of a body that was read in part can be sent.
///
/// # Errors
/// For a request's body: `TimedOut` when the client is too slow; `FileTooLarge` past
/// [`Limits::body`](crate::config::Limits::body), or for trailers past
/// [`Limits::trailers`](crate::config::Limits::trailers); `InvalidData` for malformed chunks;
/// `UnexpectedEof` when the client closes before the end; `ResourceBusy` when all workers that may
/// wait for clients do so; `BrokenPipe` after one of these errors, and once the exchange is over.
/// For a response's body: the errors of its reader or function, and of reading its files;
/// `UnexpectedEof` if a file has become shorter; `FileTooLarge` if a function writes more than
/// 16 MiB.
impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let BodyKind::Problem(problem) = &self.0 {
            self.0 = BodyKind::Bytes(problem.to_text().into());
        }
        self.write_out(WRITTEN_MAX, || {
            let message = format!("a function wrote more than {WRITTEN_MAX} bytes of a body");
            io::Error::new(io::ErrorKind::FileTooLarge, message)
        })?;
        match &mut self.0 {
            BodyKind::Empty => Ok(0),
            BodyKind::Bytes(bytes) => {
                let n = bytes.len().min(buf.len());
                buf[..n].copy_from_slice(&bytes.split_to(n));
                Ok(n)
            }
            BodyKind::Incoming(incoming) => incoming.read(buf),
            BodyKind::Reader { reader, length } => {
                let count = reader.read(buf)?;
                if let Some(length) = length {
                    *length = length.saturating_sub(count as u64);
                }
                Ok(count)
            }
            BodyKind::Segments(segments) => read_segments(segments, buf),
            BodyKind::Writer(_) | BodyKind::Problem(_) => Ok(0),
        }
    }

    // The provided methods would report a body that is too short, or not text, with the errors of
    // any other reader. These carry a `BodyFault`, from which the response gets its status.

    fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        let more = std::str::from_utf8(&bytes).map_err(|_| BodyFault::NotText)?;
        text.push_str(more);
        Ok(bytes.len())
    }

    fn read_exact(&mut self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read(buf) {
                Ok(0) => return Err(BodyFault::TooShort.into()),
                Ok(count) => buf = &mut buf[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Body {
    /// Runs the function of a body that has one, and replaces it by what it writes, at most `max`
    /// bytes. If it writes more, the error is `too_long`.
    pub(super) fn write_out(
        &mut self,
        max: u64,
        too_long: impl FnOnce() -> io::Error,
    ) -> io::Result<()> {
        if !matches!(self.0, BodyKind::Writer(_)) {
            return Ok(());
        }
        let BodyKind::Writer(write) = std::mem::take(&mut self.0) else { return Ok(()) };
        let mut sink = MemorySink::new(max);
        let result = write(&mut BodyWriter { sink: &mut sink, trailers: None });
        // The function may have ignored the error, or wrapped it.
        if sink.is_exceeded {
            return Err(too_long());
        }
        result?;
        self.0 = BodyKind::Bytes(sink.bytes.into());
        Ok(())
    }
}

/// Keeps what is written, up to a number of bytes.
pub(crate) struct MemorySink {
    bytes: Vec<u8>,
    max: u64,
    /// Whether more was written.
    is_exceeded: bool,
}

impl MemorySink {
    pub(crate) fn new(max: u64) -> Self {
        Self { bytes: Vec::new(), max, is_exceeded: false }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl io::Write for MemorySink {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.is_exceeded |= buf.len() as u64 > self.max - self.bytes.len() as u64;
        if self.is_exceeded {
            let message = format!("the body has more than {} bytes", self.max);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        self.bytes.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads from the first segment that is not empty, and drops those before it.
fn read_segments(segments: &mut Vec<Segment>, buf: &mut [u8]) -> io::Result<usize> {
    let empty = segments.iter().take_while(|segment| segment.is_empty()).count();
    segments.drain(..empty);
    let (Some(segment), false) = (segments.first_mut(), buf.is_empty()) else { return Ok(0) };
    let max = usize::try_from(segment.len()).map_or(buf.len(), |length| length.min(buf.len()));
    let buf = &mut buf[..max];
    match segment {
        Segment::Bytes(bytes) => buf.copy_from_slice(&bytes.split_to(max)),
        Segment::File { file, offset, length } => {
            let count = file.read_at(buf, *offset)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *offset += count as u64;
            *length -= count as u64;
            return Ok(count);
        }
    }
    Ok(max)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Seek, SeekFrom, Write};
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::http::Problem;

    fn written(text: &'static str) -> Body {
        Body::from_writer(move |out| {
            for byte in text.bytes() {
                out.write_all(&[byte])?;
                out.flush()?;
            }
            Ok(())
        })
    }

    fn file(text: &str) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.seek(SeekFrom::End(0)).unwrap();
        Arc::new(file)
    }

    fn segments() -> Body {
        let file = file("0123456789");
        Body::from_segments(vec![
            Segment::Bytes(Bytes::new()),
            Segment::Bytes("ab".into()),
            Segment::File { file: Arc::clone(&file), offset: 2, length: 3 },
            Segment::File { file, offset: 0, length: 0 },
            Segment::Bytes("c".into()),
        ])
    }

    #[test]
    fn a_body_of_any_kind_can_be_read() {
        type Make = fn() -> Body;
        let all: [(Make, &str); 6] = [
            (Body::empty, ""),
            (|| "text".into(), "text"),
            (|| Body::from_reader(&b"reader"[..], None), "reader"),
            (|| written("writer"), "writer"),
            (segments, "ab234c"),
            (|| Body(BodyKind::Problem(Problem::not_found())), "404 Not Found\n"),
        ];
        for (body, text) in all {
            let length = text.len() as u64;
            assert_eq!(body().read_text(length).unwrap(), text);
            assert_eq!(body().read_text(u64::MAX).unwrap(), text);
            if let Some(shorter) = length.checked_sub(1) {
                assert_eq!(body().read_text(shorter).unwrap_err().status(), 413, "{text}");
            }
            // Piece by piece, up to the end and beyond.
            let (mut body, mut pieces) = (body(), Vec::new());
            assert_eq!(body.read(&mut []).unwrap(), 0, "{text}");
            let mut piece = [0; 2];
            while let count @ 1.. = body.read(&mut piece).unwrap() {
                pieces.extend_from_slice(&piece[..count]);
            }
            assert_eq!(pieces, text.as_bytes());
            assert_eq!(body.read(&mut piece).unwrap(), 0, "{text}");
            assert_eq!(body.length().unwrap_or_default(), 0, "{text}");
        }
    }

    #[test]
    fn a_body_that_was_read_in_part_has_the_rest() {
        for mut body in [segments(), Body::from_reader(&b"ab234c"[..], Some(6)), written("ab234c")]
        {
            let mut start = [0; 3];
            body.read_exact(&mut start).unwrap();
            assert_eq!((&start, body.length()), (b"ab2", Some(3)), "{body:?}");
            assert_eq!(body.read_text(3).unwrap(), "34c");
        }
    }

    #[test]
    fn an_endless_function_and_a_file_that_has_shrunk_are_errors() {
        let endless = || {
            Body::from_writer(|out| {
                loop {
                    out.write_all(&[b'x'; 1000])?;
                }
            })
        };
        assert_eq!(endless().read_bytes(10_000).unwrap_err().status(), 413);
        let ignores = Body::from_writer(|out| {
            let _ = out.write_all(b"12");
            let _ = out.write_all(b"3");
            out.write_all(b"")
        });
        assert_eq!({ ignores }.read_bytes(2).unwrap_err().status(), 413);
        let error = endless().read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(crate::http::Response::from(error).status(), 500, "not the client's fault");
        let failed = Body::from_writer(|_| Err(io::Error::other("no disk"))).read_bytes(1);
        assert_eq!(failed.unwrap_err().status(), 500);
        let error = Body::from_file(file("123"), 0, 4).read_bytes(9).unwrap_err();
        assert_eq!(error.status(), 500);
    }
}
