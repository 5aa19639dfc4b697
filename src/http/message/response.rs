//! [`Response`]: what a handler answers.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION, UPGRADE};
use http::{Method, StatusCode, header};

use super::body_error::{self, Blame};
use super::{Body, Upgraded};
use crate::http::codec::reject::Reject;

/// What runs on an upgraded connection; see [`Response::upgrade`].
pub(crate) type UpgradeHandler = Box<dyn FnOnce(Upgraded) + Send>;

/// An answer: an [`http::Response`] with a [`Body`].
///
/// `Content-Length`, `Transfer-Encoding`, `Connection` and `Date` are the server's to set; what a
/// handler puts there is replaced.
///
/// # Examples
/// ```
/// use millpond::http::{Response, StatusCode};
///
/// let answer = Response::text("gone fishing").with_status(StatusCode::SERVICE_UNAVAILABLE);
/// assert_eq!(answer.status(), 503);
/// assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
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

    /// An answer without a body.
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

    /// 303 (RFC 9110 §15.4.4), or with [`with_status`](Self::with_status) another redirection, to
    /// `location`. A location with bytes that no field value may have makes it a 500.
    #[must_use]
    pub fn redirect(location: &str) -> Self {
        match HeaderValue::from_str(location) {
            Ok(location) => Self::empty(StatusCode::SEE_OTHER).with_header(LOCATION, location),
            Err(_) => Self::error(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// This status with its standard phrase as text: `404 Not Found`.
    #[must_use]
    pub fn error(status: StatusCode) -> Self {
        Self::text(format!("{status}\n")).with_status(status)
    }

    /// 405 (RFC 9110 §15.5.6), with the methods that are allowed.
    #[must_use]
    pub fn method_not_allowed(allowed: &[Method]) -> Self {
        let list = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let answer = Self::error(StatusCode::METHOD_NOT_ALLOWED);
        match HeaderValue::try_from(list) {
            Ok(list) => answer.with_header(ALLOW, list),
            Err(_) => answer,
        }
    }

    /// 101 (RFC 9110 §15.2.2): once it is sent, `handler` gets the connection, with what was
    /// already read of it, on a thread of its own.
    ///
    /// The threads of upgraded connections are bounded by
    /// [`Pool::upgrades`](crate::config::Pool::upgrades); past it the client gets a 503.
    pub fn upgrade(protocol: HeaderValue, handler: impl FnOnce(Upgraded) + Send + 'static) -> Self {
        let mut answer =
            Self::empty(StatusCode::SWITCHING_PROTOCOLS).with_header(UPGRADE, protocol);
        answer.upgrade = Some(Box::new(handler));
        answer
    }

    /// The same answer with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        *self.inner.status_mut() = status;
        self
    }

    /// The same answer with this field, in place of any of that name.
    #[must_use]
    pub fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.inner.headers_mut().insert(name, value);
        self
    }

    /// The answer as the `http` crate's type. An upgrade's handler is lost.
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

/// The response to an error. One of reading the request's body blames the client: 413 where the
/// body was too large, 431 where its trailers were, 408 where it was too slow, 400 where it was
/// malformed, cut short or not the text that was asked for. Any other is a 500, whatever its kind:
/// a time-out of an upstream server or the early end of a file is not the client's fault.
impl From<io::Error> for Response {
    fn from(error: io::Error) -> Self {
        match body_error::blame(&error) {
            Blame::Reject(reject) => Self::from(reject),
            Blame::Status(status) => Self::error(status),
        }
    }
}

/// A short text that names the rule.
impl From<Reject> for Response {
    fn from(reject: Reject) -> Self {
        let status = reject.status();
        Self::text(format!("{status}: {}\n", reject.explain())).with_status(status)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
