//! [`IntoResponse`]: what a handler may return.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::body::Body;
use super::body_error::BodyError;
use super::problem::{Chain, Problem, TEXT};
use super::request_error::RequestError;
use super::response::Response;
use crate::sync::LogThrottle;

/// Limits the log lines about errors that become a 500: while a database is away, every request may
/// have one.
static FAILURES: LogThrottle = LogThrottle::every(Duration::from_secs(1));

/// A value that a handler may return.
///
/// | Value | Response |
/// |---|---|
/// | [`Response`], [`http::Response`](http::Response) | itself |
/// | `()` | 200 without a body |
/// | `&'static str`, `String` | 200, plain text |
/// | [`Html`] | 200, HTML |
/// | `Vec<u8>`, `&'static [u8]`, [`Bytes`], [`Body`] | 200, `application/octet-stream` |
/// | `Json<T>` (feature `json`) | 200, JSON |
/// | [`StatusCode`] | this status; an error status has its phrase as text |
/// | `(StatusCode, T)` | `T` with this status |
/// | `(StatusCode, HeaderMap, T)`, `(HeaderMap, T)` | `T` with these fields too |
/// | `Option<T>` | `T`, or a 404 |
/// | `Result<T, E>` | `T` or `E`, so that a handler may use `?` |
/// | [`Problem`], [`RequestError`], [`BodyError`], [`io::Error`] | an error, see [`Problem`] |
///
/// # Examples
/// ```
/// use millpond::http::{Handler, IntoResponse, Problem, Request, StatusCode};
///
/// fn double(req: &mut Request) -> Result<impl IntoResponse + use<>, Problem> {
///     let number: i64 = req.read_text(20)?.trim().parse()?;
///     Ok((StatusCode::CREATED, format!("{}\n", number * 2)))
/// }
///
/// let mut request = Request::from(http::Request::new("21".into()));
/// let response = double.handle(&mut request);
/// assert_eq!(response.status(), 201);
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "not an `IntoResponse`",
    note = "a handler returns text, bytes, a `StatusCode`, a `Response`, or a `Result` of these; \
            `Json(value)`, with the feature `json`, makes JSON of a value",
    note = "the error of a `Result` is an `IntoResponse`, too: `Problem` is one, and `?` converts \
            every error into it"
)]
pub trait IntoResponse {
    /// The response that this value stands for.
    fn into_response(self) -> Response;
}

/// HTML in UTF-8 as a response.
///
/// # Examples
/// ```
/// use millpond::http::{Html, IntoResponse};
///
/// let response = Html("<h1>Good day</h1>").into_response();
/// assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Html<T>(pub T);

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl<B: Into<Body>> IntoResponse for http::Response<B> {
    fn into_response(self) -> Response {
        self.into()
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::empty(StatusCode::OK)
    }
}

impl IntoResponse for Infallible {
    fn into_response(self) -> Response {
        match self {}
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        match self.is_client_error() || self.is_server_error() {
            true => Problem::new(self).into_response(),
            false => Response::empty(self),
        }
    }
}

impl<T: Into<Body>> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        Response::html(self.0)
    }
}

/// Implements [`IntoResponse`] for kinds of text, or of bytes.
macro_rules! into_response {
    ($content_type:expr; $($kind:ty),*) => {$(
        impl IntoResponse for $kind {
            fn into_response(self) -> Response {
                let mut response = Response::new(self);
                let content_type = HeaderValue::from_static($content_type);
                response.headers_mut().insert(CONTENT_TYPE, content_type);
                response
            }
        }
    )*};
}

into_response!(TEXT; &'static str, String);
into_response!("application/octet-stream"; Vec<u8>, &'static [u8], Bytes, Body);

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

impl<T: IntoResponse> IntoResponse for (HeaderMap, T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        response.headers_mut().extend(self.0);
        response
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, HeaderMap, T) {
    fn into_response(self) -> Response {
        (self.0, (self.1, self.2)).into_response()
    }
}

impl<T: IntoResponse> IntoResponse for Option<T> {
    fn into_response(self) -> Response {
        match self {
            Some(value) => value.into_response(),
            None => Problem::not_found().into_response(),
        }
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Some(source) = self.source() {
            FAILURES.error(Instant::now(), || format!("a handler failed: {}", Chain(source)));
        }
        Response::problem(self)
    }
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

/// The response to an I/O error. An error of reading the request's body has the status of its
/// [`BodyError`]. Any other error is a 500, whatever its kind: a timeout of an upstream server or
/// the early end of a file is not the client's fault.
impl IntoResponse for io::Error {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

impl From<io::Error> for Response {
    fn from(error: io::Error) -> Self {
        error.into_response()
    }
}

impl From<BodyError> for Response {
    fn from(error: BodyError) -> Self {
        error.into_response()
    }
}

/// The response to any error of a program: see [`Problem`].
impl IntoResponse for Box<dyn Error + Send + Sync> {
    fn into_response(self) -> Response {
        Problem::from_boxed(self).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::client_fault;
    use super::*;

    fn checked(value: impl IntoResponse, status: u16, content_type: Option<&str>) {
        let response = value.into_response();
        assert_eq!(response.status(), status);
        let found = response.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap());
        assert_eq!(found, content_type);
    }

    #[test]
    fn values_become_responses() {
        const TEXT: Option<&str> = Some("text/plain; charset=utf-8");
        const BYTES: Option<&str> = Some("application/octet-stream");
        checked((), 200, None);
        checked("text", 200, TEXT);
        checked("text".to_owned(), 200, TEXT);
        checked(vec![1_u8], 200, BYTES);
        checked(Bytes::from_static(b"bytes"), 200, BYTES);
        checked(StatusCode::NO_CONTENT, 204, None);
        checked(StatusCode::FORBIDDEN, 403, TEXT);
        checked((StatusCode::CREATED, "text"), 201, TEXT);
        checked(Some("text"), 200, TEXT);
        checked(None::<()>, 404, TEXT);
        checked(Ok::<_, StatusCode>("text"), 200, TEXT);
        checked(Err::<(), _>(StatusCode::CONFLICT), 409, TEXT);
        checked(io::Error::other("no disk"), 500, TEXT);
        let boxed: Box<dyn Error + Send + Sync> = "no disk".into();
        checked(Err::<(), _>(boxed), 500, TEXT);
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv"));
        checked((StatusCode::ACCEPTED, fields, "a,b"), 202, Some("text/csv"));
    }

    #[test]
    fn a_boxed_error_of_the_request_keeps_its_status() {
        let error = BodyError::of(io::Error::from(super::super::BodyFault::TooLong));
        let boxed: Box<dyn Error + Send + Sync> = error.into();
        assert!(client_fault(&*boxed).is_some());
        checked(boxed, 413, Some("text/plain; charset=utf-8"));
    }
}
