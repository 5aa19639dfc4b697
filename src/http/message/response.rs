//! [`Response`]: the response that a handler returns.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION, UPGRADE};
use http::{Method, StatusCode, header};

use super::body::{Body, BodyKind};
use super::body_error::BodyError;
use super::problem::{Problem, client_fault};
use crate::http::codec::reject::Reject;
use crate::http::upgraded::Upgraded;

/// The function that runs on an upgraded connection; see [`Response::upgrade`].
pub(crate) type UpgradeHandler = Box<dyn FnOnce(Upgraded) + Send>;

/// A response: an [`http::Response`] with a [`Body`].
///
/// The server sets `Content-Length`, `Transfer-Encoding`, `Connection` and `Date`. It ignores what
/// a handler sets there, with one exception: in a response to HEAD and in a 304, `Content-Length`
/// is the length that the response to a GET would have, and the handler's value is sent if its body
/// is empty or has no known length.
///
/// # Examples
/// ```
/// use millpond::http::{Response, StatusCode};
///
/// let response = Response::text("gone fishing").with_status(StatusCode::SERVICE_UNAVAILABLE);
/// assert_eq!(response.status(), 503);
/// assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
/// ```
pub struct Response {
    inner: http::Response<Body>,
    upgrade: Option<UpgradeHandler>,
}

impl Response {
    /// 200 with this body and no fields.
    pub fn new(body: impl Into<Body>) -> Self {
        Self { inner: http::Response::new(body.into()), upgrade: None }
    }

    /// A response with this status, and no body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self::new(Body::empty()).with_status(status)
    }

    /// 200 with plain text in UTF-8.
    pub fn text(text: impl Into<Body>) -> Self {
        Self::new(text).with_type(HeaderValue::from_static("text/plain; charset=utf-8"))
    }

    /// 200 with HTML in UTF-8.
    pub fn html(html: impl Into<Body>) -> Self {
        Self::new(html).with_type(HeaderValue::from_static("text/html; charset=utf-8"))
    }

    /// 200 with JSON, given as text or bytes.
    pub fn json(json: impl Into<Body>) -> Self {
        Self::new(json).with_type(HeaderValue::from_static("application/json"))
    }

    /// A redirection to `location`: 303 (RFC 9110 §15.4.4), or another status by
    /// [`with_status`](Self::with_status). It is a 500 if `location` has bytes that are not allowed
    /// in a field value.
    #[must_use]
    pub fn redirect(location: &str) -> Self {
        match HeaderValue::from_str(location) {
            Ok(location) => Self::empty(StatusCode::SEE_OTHER).with_header(LOCATION, location),
            Err(_) => Self::error(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// This status, with the code and its standard phrase as text: `404 Not Found`. A client that
    /// prefers JSON gets it as `application/problem+json`: see [`Problem`].
    #[must_use]
    pub fn error(status: StatusCode) -> Self {
        Self::problem(Problem::new(status))
    }

    /// The response that shows this problem. It is written when it is sent.
    pub(crate) fn problem(problem: Problem) -> Self {
        let status = problem.status();
        Self::text(Body(BodyKind::Problem(problem))).with_status(status)
    }

    /// 405 (RFC 9110 §15.5.6), with the allowed methods in Allow.
    #[must_use]
    pub fn method_not_allowed(allowed: &[Method]) -> Self {
        let list = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let response = Self::error(StatusCode::METHOD_NOT_ALLOWED);
        match HeaderValue::try_from(list) {
            Ok(list) => response.with_header(ALLOW, list),
            Err(_) => response,
        }
    }

    /// 101 (RFC 9110 §15.2.2). After the response, `handler` gets the connection, with the bytes
    /// that the server had read beyond the request, on a thread of its own.
    ///
    /// There are at most [`Pool::upgrades`](crate::config::Pool::upgrades) such threads; beyond,
    /// the client gets a 503.
    pub fn upgrade(protocol: HeaderValue, handler: impl FnOnce(Upgraded) + Send + 'static) -> Self {
        let mut response =
            Self::empty(StatusCode::SWITCHING_PROTOCOLS).with_header(UPGRADE, protocol);
        response.upgrade = Some(Box::new(handler));
        response
    }

    /// This response with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        *self.inner.status_mut() = status;
        self
    }

    /// This response with this field, which replaces any of the same name.
    #[must_use]
    pub fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.inner.headers_mut().insert(name, value);
        self
    }

    /// The response as the `http` crate's type. The handler of an upgrade is dropped.
    #[must_use]
    pub fn into_http(self) -> http::Response<Body> {
        self.inner
    }

    pub(crate) fn into_split(self) -> (http::response::Parts, Body, Option<UpgradeHandler>) {
        let (parts, body) = self.inner.into_parts();
        (parts, body, self.upgrade)
    }

    fn with_type(self, value: HeaderValue) -> Self {
        self.with_header(CONTENT_TYPE, value)
    }
}

impl Deref for Response {
    type Target = http::Response<Body>;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl DerefMut for Response {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

impl<B: Into<Body>> From<http::Response<B>> for Response {
    fn from(inner: http::Response<B>) -> Self {
        Self { inner: inner.map(Into::into), upgrade: None }
    }
}

impl From<Response> for http::Response<Body> {
    fn from(response: Response) -> Self {
        response.inner
    }
}

/// The response to an I/O error: see [`IntoResponse`](super::IntoResponse).
impl From<io::Error> for Response {
    fn from(error: io::Error) -> Self {
        let fault = client_fault(&error);
        Self::problem(fault.unwrap_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR)))
    }
}

/// The response to an error of reading a body: see [`BodyError::status`].
impl From<BodyError> for Response {
    fn from(error: BodyError) -> Self {
        Self::from(io::Error::from(error))
    }
}

/// The response to a rejected request: its text names the rule.
impl From<Reject> for Response {
    fn from(reject: Reject) -> Self {
        Self::problem(Problem::from_reject(reject))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
