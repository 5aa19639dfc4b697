//! [`BodyError`]: why the body of a request could not be read.

use std::error::Error;
use std::fmt;
use std::io;

use http::StatusCode;

use crate::close::CloseReason;
use crate::http::codec::reject::Reject;

/// Why the body of a request could not be read.
///
/// It is the error of [`Request::read_body`](super::Request::read_body) and of the methods that
/// decode a body. Reading through [`Read`](std::io::Read) returns it inside of an [`io::Error`].
/// Its [`status`](Self::status) is the one that the client should get, so a handler that returns
/// `Result<_, BodyError>` or `Result<_, Problem>` may use `?`.
///
/// # Examples
/// ```
/// use millpond::http::{Body, Request};
///
/// let mut request = Request::from(http::Request::new(Body::from("too long")));
/// let error = request.read_body(3).unwrap_err();
/// assert_eq!(error.status(), 413);
/// assert_eq!(error.to_string(), "the body is longer than the handler accepts");
/// ```
#[derive(Debug)]
pub struct BodyError(pub(super) Cause);

#[derive(Debug)]
pub(super) enum Cause {
    Fault(BodyFault),
    Reject(Reject),
    /// An error of the reader of a body that a program made.
    Io(io::Error),
}

/// Why the body of a request could not be read, where the client is at fault. It is the source of
/// the [`io::Error`] that reading returns, which tells it from other errors of the same kind (a
/// timeout of an upstream server, a file that is too short): those are not the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
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
    /// The status of the response: 413 if the body was too large, 431 if its trailers were, 408 if
    /// the client was too slow, 400 if the body was malformed, incomplete or not text, 503 if all
    /// workers that may wait for clients did so, and 500 for an error of a reader that the program
    /// made.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match &self.0 {
            Cause::Fault(fault) => fault.status(),
            Cause::Reject(reject) => reject.status(),
            Cause::Io(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The cause of an error that reading a body has returned.
    pub(crate) fn of(error: io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(fault) = inner.and_then(|inner| inner.downcast_ref::<BodyFault>()) {
            return Self(Cause::Fault(*fault));
        }
        if let Some(reject) = inner.and_then(|inner| inner.downcast_ref::<Reject>()) {
            return Self(Cause::Reject(*reject));
        }
        Self(Cause::Io(error))
    }
}

impl BodyFault {
    pub(super) fn status(self) -> StatusCode {
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

impl From<BodyFault> for io::Error {
    fn from(fault: BodyFault) -> Self {
        Self::new(fault.kind(), fault)
    }
}

impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> Self {
        match error.0 {
            Cause::Fault(fault) => fault.into(),
            Cause::Reject(reject) => Self::new(io::ErrorKind::InvalidData, reject),
            Cause::Io(error) => error,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Fault(fault) => fault.fmt(f),
            Cause::Reject(reject) => f.write_str(reject.explain()),
            Cause::Io(_) => f.write_str("the body cannot be read"),
        }
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            // `Display` has the whole reason.
            Cause::Fault(_) | Cause::Reject(_) => None,
            Cause::Io(error) => Some(error),
        }
    }
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut(reason) => reason.explain(),
            Self::TooShort => "the body is shorter than expected",
            Self::TooLong => "the body is longer than the handler accepts",
            Self::NotText => "the body is not UTF-8 text",
        })
    }
}

impl Error for BodyFault {}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::http::{Body, Response};

    fn status(error: impl Into<Response>) -> u16 {
        error.into().status().as_u16()
    }

    #[test]
    fn only_an_error_of_the_body_is_the_clients_fault() {
        for (error, expected) in [
            (BodyFault::Cut(CloseReason::BodyTimeout), 408),
            (BodyFault::Cut(CloseReason::ClientGone), 400),
            (BodyFault::Cut(CloseReason::Overloaded), 503),
            (BodyFault::TooShort, 400),
            (BodyFault::TooLong, 413),
            (BodyFault::NotText, 400),
        ] {
            let kind = io::Error::from(error).kind();
            assert_eq!(status(io::Error::from(error)), expected, "{error}");
            assert_eq!(status(io::Error::other(io::Error::from(error))), expected, "{error}");
            assert_eq!(status(io::Error::from(kind)), 500, "an upstream's {kind}");
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
