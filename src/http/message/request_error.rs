//! [`RequestError`]: what is wrong with a request.

use std::error::Error;
use std::fmt;

use http::StatusCode;

use super::body_error::BodyError;

/// What is wrong with a request: a parameter, its query, or the content of its body.
///
/// The methods of [`Request`](super::Request) that decode a part of the request return it. Its text
/// names the place: `parameter "limit": invalid digit found in string`. A handler that returns
/// `Result<_, RequestError>` or `Result<_, Problem>` may use `?`: the client gets the
/// [`status`](Self::status) and the text.
///
/// # Examples
/// ```
/// use millpond::http::{Body, Request};
///
/// let request = Request::from(http::Request::new(Body::empty()));
/// let error = request.param::<u64>("id").unwrap_err();
/// assert_eq!(error.to_string(), "the route has no parameter \"id\"");
/// assert_eq!(error.status(), 500);
/// ```
#[derive(Debug)]
pub struct RequestError(Box<ErrorParts>);

#[derive(Debug)]
struct ErrorParts {
    status: StatusCode,
    message: String,
    source: Option<BodyError>,
}

impl RequestError {
    /// An error with this status and text.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorParts { status, message: message.into(), source: None }))
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }
}

impl From<BodyError> for RequestError {
    fn from(error: BodyError) -> Self {
        let (status, message) = (error.status(), error.to_string());
        Self(Box::new(ErrorParts { status, message, source: Some(error) }))
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Error for RequestError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The text is that of the error of the body, whose source is the next in the chain.
        self.0.source.as_ref().and_then(Error::source)
    }
}
