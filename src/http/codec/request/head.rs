//! [`Head`]: a parsed request head.

use std::time::Duration;

use http::{HeaderMap, Method, Uri, Version};

/// Where a request's body ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The request has no body.
    None,
    /// After this many bytes.
    Length(u64),
    /// After the last chunk and its trailers.
    Chunked,
}

/// The head of a request.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// HTTP/1.0 or HTTP/1.1.
    pub(crate) version: Version,
    /// The fields. Where the target names a host, it has replaced the value of Host.
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
    /// Whether the client wants the connection kept, by version and Connection.
    pub(crate) keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body that it announced.
    pub(crate) expects_continue: bool,
    /// Whether the client offers to upgrade.
    pub(crate) upgrade: bool,
    /// How long the client waits for the response, if it sent the timeout field.
    pub(crate) client_timeout: Option<Duration>,
}

impl Head {
    /// The request with this head and this body.
    pub(crate) fn into_request<B>(self, body: B) -> http::Request<B> {
        let mut request = http::Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers;
        request
    }
}
