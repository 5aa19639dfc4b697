//! [`AdminResponse`]: a response of the admin endpoint, and its bytes.

use crate::http::codec::{HeadLine, Transfer, encode_head};
use crate::http::header::{self, HeaderName};
use crate::http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

/// The type of plain text.
const TEXT: &str = "text/plain; charset=utf-8";

/// A response of the admin endpoint.
#[derive(Debug)]
pub(super) struct AdminResponse {
    pub(super) status: StatusCode,
    headers: Box<HeaderMap>,
    body: Vec<u8>,
}

impl AdminResponse {
    /// A response with this body. The fields that every response of the endpoint has are set: it is
    /// not stored, not framed, and read as its type says.
    pub(super) fn new(status: StatusCode, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut headers = HeaderMap::with_capacity(8);
        if let Ok(value) = HeaderValue::from_str(content_type) {
            headers.insert(header::CONTENT_TYPE, value);
        }
        let fixed = [
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Self { status, headers: Box::new(headers), body: body.into() }
    }

    /// A line of text.
    pub(super) fn text(status: StatusCode, line: &str) -> Self {
        Self::new(status, TEXT, format!("{line}\n"))
    }

    /// The same with a field, which replaces one of the same name.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The bytes of the response, with this `Date`. The connection closes after them.
    pub(super) fn encode(&self, method: &Method, date: &[u8; 29]) -> Vec<u8> {
        let length = self.body.len() as u64;
        let is_head = method == Method::HEAD;
        let transfer = if is_head { Transfer::None } else { Transfer::Length(length) };
        let mut out = Vec::with_capacity(512 + self.body.len());
        encode_head(
            &mut out,
            &HeadLine {
                version: Version::HTTP_11,
                status: self.status,
                headers: &self.headers,
                transfer: &transfer,
                declared_length: is_head.then_some(length),
                keep_alive: false,
                date,
            },
        );
        if !is_head {
            out.extend_from_slice(&self.body);
        }
        out
    }
}
