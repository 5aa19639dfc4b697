//! [`BodyError`]: why the body of a request could not be read, where the client is at fault.

use std::error::Error;
use std::fmt;
use std::io;

use http::StatusCode;

use crate::close::CloseReason;
use crate::http::codec::reject::Reject;

/// Why the body of a request could not be read. It is the source of the [`io::Error`] that reading
/// returns, which tells it from other errors of the same kind (a timeout of an upstream server, a
/// file that is too short): those are not the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The client was too slow, or disconnected.
    Cut(CloseReason),
    /// The body ended before the bytes that the handler requires.
    TooShort,
    /// The body is longer than the handler accepts.
    TooLong,
    /// The body is not text, which the handler requires.
    NotText,
}

impl BodyError {
    fn status(self) -> StatusCode {
        match self {
            Self::Cut(CloseReason::BodyTimeout | CloseReason::WriteTimeout) => {
                StatusCode::REQUEST_TIMEOUT
            }
            Self::Cut(CloseReason::Overloaded) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Cut(_) | Self::TooShort | Self::NotText => StatusCode::BAD_REQUEST,
        }
    }

    fn kind(self) -> io::ErrorKind {
        match self {
            Self::Cut(CloseReason::BodyTimeout | CloseReason::WriteTimeout) => {
                io::ErrorKind::TimedOut
            }
            Self::Cut(CloseReason::Overloaded) => io::ErrorKind::ResourceBusy,
            Self::Cut(_) | Self::TooShort => io::ErrorKind::UnexpectedEof,
            Self::TooLong => io::ErrorKind::FileTooLarge,
            Self::NotText => io::ErrorKind::InvalidData,
        }
    }
}

/// The content of the response to an error: the broken rule, or only a status.
pub(super) enum Fault {
    Reject(Reject),
    Status(StatusCode),
}

/// Finds who is at fault for an error: the client if the error, or a source of it, is one of
/// reading the body, otherwise the server.
pub(super) fn find_fault(error: &io::Error) -> Fault {
    let mut cause = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    while let Some(error) = cause {
        if let Some(reject) = error.downcast_ref::<Reject>() {
            return Fault::Reject(*reject);
        }
        if let Some(error) = error.downcast_ref::<BodyError>() {
            return Fault::Status(error.status());
        }
        // `source` of an I/O error skips the error that it wraps, so that one is checked first.
        cause = match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    Fault::Status(StatusCode::INTERNAL_SERVER_ERROR)
}

impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> Self {
        Self::new(error.kind(), error)
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut(reason) => reason.explain(),
            Self::TooShort => "the body is shorter than expected",
            Self::TooLong => "the body is longer than the handler accepts",
            Self::NotText => "the body is not UTF-8 text",
        })
    }
}

impl Error for BodyError {}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::http::{Body, Response};

    fn status(error: io::Error) -> u16 {
        Response::from(error).status().as_u16()
    }

    #[test]
    fn only_an_error_of_the_body_is_the_clients_fault() {
        for (error, expected) in [
            (BodyError::Cut(CloseReason::BodyTimeout), 408),
            (BodyError::Cut(CloseReason::ClientGone), 400),
            (BodyError::Cut(CloseReason::Overloaded), 503),
            (BodyError::TooShort, 400),
            (BodyError::TooLong, 413),
            (BodyError::NotText, 400),
        ] {
            let kind = io::Error::from(error).kind();
            assert_eq!(status(error.into()), expected, "{error}");
            assert_eq!(status(io::Error::other(io::Error::from(error))), expected, "{error}");
            assert_eq!(status(kind.into()), 500, "an upstream's {kind}");
            assert_eq!(status(io::Error::new(kind, "an upstream")), 500, "an upstream's {kind}");
        }
        assert_eq!(status(io::Error::new(io::ErrorKind::InvalidData, Reject::ChunkSize)), 400);
        let short = (&b"short"[..]).read_exact(&mut [0; 10]).unwrap_err();
        assert_eq!(status(short), 500, "a local file");
    }

    #[test]
    fn a_body_that_the_handler_does_not_accept_is_the_clients_fault() {
        let body = |bytes: &'static [u8]| Body::from(bytes);
        assert_eq!(body(b"abc").read_text(3).unwrap(), "abc");
        assert_eq!(body(b"").read_bytes(0).unwrap(), b"");
        assert_eq!(status(body(b"abcd").read_text(3).unwrap_err()), 413);
        let unknown = Body::from_reader(&b"abcd"[..], None).read_bytes(3);
        assert_eq!(status(unknown.unwrap_err()), 413);
        assert_eq!(status(body(b"\xff").read_text(3).unwrap_err()), 400);
        let mut text = String::from("kept");
        assert_eq!(status(body(b"a\xff").read_to_string(&mut text).unwrap_err()), 400);
        assert_eq!(text, "kept");
        assert_eq!(body(b"more").read_to_string(&mut text).unwrap(), 4);
        assert_eq!(text, "keptmore");
        assert_eq!(status(body(b"abc").read_exact(&mut [0; 4]).unwrap_err()), 400);
        let broken = Body::from_reader(Broken, None).read_text(3);
        assert_eq!(status(broken.unwrap_err()), 500);
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}
