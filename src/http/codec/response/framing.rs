//! How the body of a response is framed.

use http::header;
use http::{HeaderMap, Method, StatusCode, Version};

/// What is known of the length of the handler's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// The body has this many bytes.
    Known(u64),
    /// The length is not known before the end.
    Unknown,
}

/// How the body of a response is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// No body is sent, whatever the handler returned.
    None,
    /// With this Content-Length.
    Length(u64),
    /// In chunks.
    Chunked,
    /// The body ends with the connection, which must not be kept.
    UntilClose,
}

/// How the body of a response is sent (RFC 9112 §6.3). `method` and `version` are the request's.
pub(crate) fn transfer(
    method: &Method,
    version: Version,
    status: StatusCode,
    payload: Payload,
) -> Transfer {
    let tunnel = method == Method::CONNECT && status.is_success();
    if method == Method::HEAD || tunnel || has_no_content(status) {
        return Transfer::None;
    }
    match payload {
        Payload::Known(length) => Transfer::Length(length),
        Payload::Unknown if version == Version::HTTP_11 => Transfer::Chunked,
        Payload::Unknown => Transfer::UntilClose,
    }
}

/// The Content-Length of a response to HEAD, or of a 304: the length of the body that a GET would
/// have (RFC 9110 §8.6).
///
/// A handler that returns no body for these may still know the length, and sets it in `headers`.
/// Otherwise the response has no Content-Length, as 0 would be wrong for GET.
pub(crate) fn declared_length(
    method: &Method,
    status: StatusCode,
    payload: Payload,
    headers: &HeaderMap,
) -> Option<u64> {
    if method != Method::HEAD && status != StatusCode::NOT_MODIFIED {
        return None;
    }
    match payload {
        Payload::Known(length @ 1..) => Some(length),
        _ => headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok(),
    }
}

/// Statuses whose responses have no content: 1xx, 204, 205, 304 (RFC 9110 §6.4.1, §15.3.6).
fn has_no_content(status: StatusCode) -> bool {
    status.is_informational()
        || matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        )
}
