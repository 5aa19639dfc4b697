//! [`Response`]: the response that a handler returns.

use std::fmt;
use std::ops::{Deref, DerefMut};

use http::header::{ALLOW, CONTENT_TYPE, LOCATION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::body::{Body, BodyKind};
use super::problem::{Problem, TEXT};
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

/// The extension of a response that has become a 500.
#[derive(Clone, Copy)]
struct FailedResponse;

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
        Self::new(text).with_type(HeaderValue::from_static(TEXT))
    }

    /// 200 with HTML in UTF-8.
    pub fn html(html: impl Into<Body>) -> Self {
        Self::new(html).with_type(HeaderValue::from_static("text/html; charset=utf-8"))
    }

    /// 200 with JSON, given as text or bytes.
    pub fn json(json: impl Into<Body>) -> Self {
        Self::new(json).with_type(HeaderValue::from_static("application/json"))
    }

    /// 204 (RFC 9110 §15.3.5): success, and nothing to show.
    #[must_use]
    pub fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    /// A redirection to `location` by GET, as after a form: 303 (RFC 9110 §15.4.4). It is a 500 if
    /// `location` has bytes that are not allowed in a field value.
    #[must_use]
    pub fn redirect(location: &str) -> Self {
        Self::empty(StatusCode::SEE_OTHER).with_header(LOCATION, location)
    }

    /// A redirection to `location` with the same method and body, for now: 307 (RFC 9110
    /// §15.4.8).
    #[must_use]
    pub fn redirect_temporarily(location: &str) -> Self {
        Self::empty(StatusCode::TEMPORARY_REDIRECT).with_header(LOCATION, location)
    }

    /// A redirection to `location` with the same method and body, for ever: 308 (RFC 9110
    /// §15.4.9). Clients may store it, so that they never send the old request again.
    #[must_use]
    pub fn redirect_permanently(location: &str) -> Self {
        Self::empty(StatusCode::PERMANENT_REDIRECT).with_header(LOCATION, location)
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
        if !self.has_failed() {
            *self.inner.status_mut() = status;
        }
        self
    }

    /// This response with this field, which replaces those of the same name.
    ///
    /// An invalid name or value makes it a 500, whatever is set later, and logs the reason: a value
    /// has no line feeds or other control characters (RFC 9110 §5.5).
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Response, header};
    ///
    /// let response = Response::text("a,b\n")
    ///     .with_header(header::CONTENT_TYPE, "text/csv")
    ///     .with_header("x-rows", 1);
    /// assert_eq!(response.headers()["content-type"], "text/csv");
    ///
    /// let split = Response::text("ok").with_header("x-name", "a\r\nset-cookie: b=c");
    /// assert_eq!(split.status(), 500);
    /// ```
    #[must_use]
    pub fn with_header(
        self,
        name: impl TryInto<HeaderName, Error: fmt::Display>,
        value: impl TryInto<HeaderValue, Error: fmt::Display>,
    ) -> Self {
        self.set(name, value, |headers, name, value| {
            headers.insert(name, value);
        })
    }

    /// This response with this field, after those of the same name: for Set-Cookie, Link or Vary.
    ///
    /// An invalid name or value makes it a 500, as in [`with_header`](Self::with_header).
    #[must_use]
    pub fn append_header(
        self,
        name: impl TryInto<HeaderName, Error: fmt::Display>,
        value: impl TryInto<HeaderValue, Error: fmt::Display>,
    ) -> Self {
        self.set(name, value, |headers, name, value| {
            headers.append(name, value);
        })
    }

    fn set(
        mut self,
        name: impl TryInto<HeaderName, Error: fmt::Display>,
        value: impl TryInto<HeaderValue, Error: fmt::Display>,
        set: impl FnOnce(&mut HeaderMap, HeaderName, HeaderValue),
    ) -> Self {
        let name = match name.try_into() {
            Ok(name) => name,
            Err(error) => return self.into_failed(format_args!("{error}")),
        };
        match value.try_into() {
            Ok(value) if !self.has_failed() => set(self.inner.headers_mut(), name, value),
            Ok(_) => {}
            Err(error) => return self.into_failed(format_args!("field {name}: {error}")),
        }
        self
    }

    /// The 500 in place of a response that a handler failed to make.
    #[cold]
    pub(super) fn into_failed(self, reason: fmt::Arguments<'_>) -> Self {
        if self.has_failed() {
            return self;
        }
        log::error!("a handler set an invalid field of a response: {reason}");
        let mut failed = Self::error(StatusCode::INTERNAL_SERVER_ERROR);
        failed.inner.extensions_mut().insert(FailedResponse);
        failed
    }

    /// Whether this is a 500 that further calls leave as it is.
    fn has_failed(&self) -> bool {
        self.inner.extensions().get::<FailedResponse>().is_some()
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

    fn with_type(mut self, value: HeaderValue) -> Self {
        self.inner.headers_mut().insert(CONTENT_TYPE, value);
        self
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
