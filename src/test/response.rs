//! [`TestResponse`]: a response that was read whole.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// How much of a body [`TestResponse::assert_status`] and `Debug` show, in bytes.
const SHOWN: usize = 2000;

/// A response that was read whole, its body and its trailer fields too.
#[derive(Clone)]
pub struct TestResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

impl TestResponse {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The fields, with those that the server adds: Date, Content-Length and others.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first value of a field; `None` if the response has no such field.
    ///
    /// # Panics
    /// If the value has other characters than visible ASCII and spaces.
    #[must_use]
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.get(name)?;
        Some(value.to_str().unwrap_or_else(|_| panic!("the value of {name} is not text: {self:?}")))
    }

    /// The body.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    ///
    /// # Panics
    /// If the body is not UTF-8.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap_or_else(|_| panic!("the body is not UTF-8: {self:?}"))
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON, or does not fit the type.
    #[cfg(feature = "json")]
    #[track_caller]
    #[must_use]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The trailer fields behind a chunked body.
    #[must_use]
    pub fn trailers(&self) -> &HeaderMap {
        &self.trailers
    }

    /// Whether the response is a 101: the connection leaves HTTP. Neither [`TestRequest`] nor
    /// [`TestServer`] speaks the other protocol: connect to [`TestServer::addr`] to test it.
    ///
    /// [`TestRequest`]: super::TestRequest
    /// [`TestServer`]: super::TestServer
    /// [`TestServer::addr`]: super::TestServer::addr
    #[must_use]
    pub fn is_upgrade(&self) -> bool {
        self.status == StatusCode::SWITCHING_PROTOCOLS
    }

    /// Checks the status, and returns the response.
    ///
    /// # Panics
    /// If the status differs. The message shows the response with its body.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::Request;
    /// use millpond::test::TestRequest;
    ///
    /// let response = TestRequest::get("/").send(&|_: &mut Request| "Hello");
    /// assert_eq!(response.assert_status(200).text(), "Hello");
    /// ```
    #[track_caller]
    pub fn assert_status(&self, expected: u16) -> &Self {
        assert!(self.status == expected, "expected the status {expected}, got {self:?}");
        self
    }
}

impl fmt::Debug for TestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in self.headers.iter().chain(&self.trailers) {
            writeln!(f, "{name}: {}", value.as_bytes().escape_ascii())?;
        }
        let shown = &self.body[..self.body.len().min(SHOWN)];
        match str::from_utf8(&self.body) {
            _ if self.is_upgrade() => write!(f, "\n(upgraded: the connection leaves HTTP)"),
            Ok(text) if text.len() == shown.len() => write!(f, "\n{text}"),
            Ok(_) => write!(
                f,
                "\n{} … ({} bytes)",
                shown.utf8_chunks().next().map_or("", |chunk| chunk.valid()),
                self.body.len()
            ),
            Err(_) => write!(f, "\n{} ({} bytes)", shown.escape_ascii(), self.body.len()),
        }
    }
}
