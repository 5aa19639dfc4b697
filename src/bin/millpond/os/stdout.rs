//! Standard output, whose reader may close it at any time.

use std::io::{ErrorKind, Write};

use crate::failure::{Failure, code};

/// Whether standard output still has a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Open,
    /// The reader has closed it (`millpond --help | head -1`), which is no failure.
    Closed,
}

/// Writes all bytes to standard output and flushes it.
pub(crate) fn print(bytes: &[u8]) -> Result<Reader, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::Open),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Closed),
        Err(error) => Err(Failure::io(code::RUNTIME, "cannot write to standard output", error)),
    }
}
