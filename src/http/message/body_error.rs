//! [`BodyError`]: why the body of a request could not be read, where the client is to blame.

use std::error::Error;
use std::fmt;
use std::io;

use http::StatusCode;

use crate::close::CloseReason;
use crate::http::codec::reject::Reject;

/// Why the body of a request could not be read. It is carried by the [`io::Error`] that reading
/// gives, so that no other error of the same kind (an upstream's time-out, a file that is too
/// short) is taken for the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The client was too slow, or went away.
    Cut(CloseReason),
    /// The body ended before what the handler had to have of it.
    TooShort,
    /// The body is longer than the handler takes.
    TooLong,
    /// The body is not the text that the handler asked for.
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

/// What a response says of an error: the broken rule, or a status alone.
pub(super) enum Blame {
    Reject(Reject),
    Status(StatusCode),
}

/// Whom an error blames: the client if it, or any error that it comes of, is one of reading the
/// body, otherwise the server.
pub(super) fn blame(error: &io::Error) -> Blame {
    let mut cause = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    while let Some(error) = cause {
        if let Some(reject) = error.downcast_ref::<Reject>() {
            return Blame::Reject(*reject);
        }
        if let Some(error) = error.downcast_ref::<BodyError>() {
            return Blame::Status(error.status());
        }
        // The source of an I/O error is that of what it carries, which is therefore looked at
        // first.
        cause = match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    Blame::Status(StatusCode::INTERNAL_SERVER_ERROR)
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
    fn only_an_error_of_the_body_blames_the_client() {
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
    fn a_body_that_is_not_what_the_handler_asks_for_blames_the_client() {
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
