//! [`Reject`]: why the server rejects a request.

use std::error::Error;
use std::fmt;

use http::StatusCode;

use crate::close::CloseReason;

/// The rule that a request breaks.
///
/// The connection closes after any of them: the server cannot find where the next request begins
/// (RFC 9112 §2.2, §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reject {
    // The request line and the ends of lines.
    NotHttp,
    EmptyLines,
    BareCr,
    BareLf,
    RequestLine,
    MethodTooLong,
    Target,
    Path,
    TargetForm,
    Userinfo,
    SchemeMisdirected,
    SchemeInsecure,
    Cleartext,
    TargetTooLong,
    VersionSyntax,
    VersionUnknown,
    // The field lines.
    FieldName,
    SpaceBeforeColon,
    Folded,
    FieldValue,
    TooManyFields,
    HeadTooLarge,
    HeadCutShort,
    HostMissing,
    HostRepeated,
    HostInvalid,
    HostEmpty,
    ContentTypes,
    Expectation,
    // The framing.
    FramingLookalike,
    LengthInvalid,
    LengthOverflow,
    LengthRepeated,
    LengthWithCoding,
    CodingInHttp10,
    CodingNotChunked,
    CodingUnknown,
    BodyTooLarge,
    // Chunks.
    ChunkSize,
    ChunkExtension,
    ChunkExtensionTooLong,
    ChunkEnd,
    TrailersTooLarge,
    TrailerForbidden,
}

impl Reject {
    /// The status of the response.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::SchemeMisdirected | Self::SchemeInsecure => StatusCode::MISDIRECTED_REQUEST,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailersTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::MethodTooLong | Self::CodingUnknown => StatusCode::NOT_IMPLEMENTED,
            Self::VersionUnknown => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The problem and the section that has the rule, as a sentence without a full stop.
    pub(crate) fn explain(self) -> &'static str {
        match self {
            Self::NotHttp => "the bytes do not begin an HTTP request (RFC 9112 §3)",
            Self::EmptyLines => "more than one empty line before the request (RFC 9112 §2.2)",
            Self::BareCr => "a carriage return without a line feed (RFC 9112 §2.2)",
            Self::BareLf => "a line that ends without a carriage return (RFC 9112 §2.2)",
            Self::RequestLine => {
                "the request line is not `method target version` with single spaces (RFC 9112 §3)"
            }
            Self::MethodTooLong => "the method is too long (RFC 9112 §3)",
            Self::Target => "the target has a byte that is not allowed in a URI (RFC 9112 §3.2)",
            Self::Path => "the path has a backslash or an encoded NUL (RFC 3986 §3.3)",
            Self::TargetForm => {
                "the form of the target is not allowed for the method (RFC 9112 §3.2)"
            }
            Self::Userinfo => "the target contains user information (RFC 9110 §4.2.4)",
            Self::SchemeMisdirected => {
                "the target has the scheme https, the connection is not encrypted (RFC 9110 §7.4)"
            }
            Self::SchemeInsecure => {
                "the target has the scheme http, the connection is encrypted (RFC 9110 §7.4)"
            }
            Self::Cleartext => {
                "this port expects TLS, and the request came without: use https (RFC 9110 §4.2.2)"
            }
            Self::TargetTooLong => "the target is too long (RFC 9110 §15.5.15)",
            Self::VersionSyntax => {
                "the version is not `HTTP/`, a digit, a dot, a digit (RFC 9112 §2.3)"
            }
            Self::VersionUnknown => "only HTTP/1.0 and HTTP/1.1 are supported (RFC 9110 §15.6.6)",
            Self::FieldName => "a field name is not a token (RFC 9110 §5.1)",
            Self::SpaceBeforeColon => "white space before the colon of a field (RFC 9112 §5.1)",
            Self::Folded => "a field value is folded over two lines (RFC 9112 §5.2)",
            Self::FieldValue => "a field value has a control byte (RFC 9110 §5.5)",
            Self::TooManyFields => "too many fields (RFC 6585 §5)",
            Self::HeadTooLarge => "the head of the request is too large (RFC 6585 §5)",
            Self::HeadCutShort => "the head of the request is incomplete (RFC 9112 §8)",
            Self::HostMissing => "an HTTP/1.1 request without Host (RFC 9112 §3.2)",
            Self::HostRepeated => "more than one Host (RFC 9112 §3.2)",
            Self::HostInvalid => "Host is not a host with an optional port (RFC 9112 §3.2)",
            Self::HostEmpty => "neither Host nor the target names a host (RFC 9110 §4.2.1)",
            Self::ContentTypes => "Content-Type lines that contradict each other (RFC 9110 §8.3)",
            Self::Expectation => "an expectation other than 100-continue (RFC 9110 §10.1.1)",
            Self::FramingLookalike => {
                "Content_Length or Transfer_Encoding, with an underscore (RFC 9112 §11.2)"
            }
            Self::LengthInvalid => "Content-Length is not a decimal number (RFC 9112 §6.3)",
            Self::LengthOverflow => {
                "Content-Length has more than 20 digits or exceeds 64 bits (RFC 9110 §8.6)"
            }
            Self::LengthRepeated => "more than one Content-Length (RFC 9110 §8.6)",
            Self::LengthWithCoding => {
                "Content-Length together with Transfer-Encoding (RFC 9112 §6.1)"
            }
            Self::CodingInHttp10 => "Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1)",
            Self::CodingNotChunked => {
                "Transfer-Encoding does not end in exactly one `chunked` (RFC 9112 §6.3)"
            }
            Self::CodingUnknown => "a transfer coding other than `chunked` (RFC 9112 §6.1)",
            Self::BodyTooLarge => "the body is too large (RFC 9110 §15.5.14)",
            Self::ChunkSize => "a chunk size is not a hexadecimal number (RFC 9112 §7.1)",
            Self::ChunkExtension => "a chunk extension is malformed (RFC 9112 §7.1.1)",
            Self::ChunkExtensionTooLong => "the chunk extensions are too long (RFC 9112 §7.1.1)",
            Self::ChunkEnd => "the data of a chunk does not end with a line end (RFC 9112 §7.1)",
            Self::TrailersTooLarge => "the trailer section is too large (RFC 9112 §7.1.2)",
            Self::TrailerForbidden => "a trailer field that belongs in the head (RFC 9110 §6.5.1)",
        }
    }

    /// The reason for which the connection closes.
    pub(crate) fn close_reason(self) -> CloseReason {
        match self {
            Self::BodyTooLarge
            | Self::TargetTooLong
            | Self::HeadTooLarge
            | Self::TooManyFields
            | Self::TrailersTooLarge => CloseReason::TooLarge,
            Self::HeadCutShort => CloseReason::ClientGone,
            _ => CloseReason::BadRequest,
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explain())
    }
}

/// The source of the I/O error that reading a malformed body returns.
impl Error for Reject {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exceeded_limit_is_too_large_and_anything_else_a_bad_request() {
        for reject in [Reject::BodyTooLarge, Reject::TargetTooLong, Reject::HeadTooLarge] {
            assert_eq!(reject.close_reason(), CloseReason::TooLarge);
            assert_ne!(reject.status(), StatusCode::BAD_REQUEST);
        }
        assert_eq!(Reject::Folded.close_reason(), CloseReason::BadRequest);
        assert_eq!(Reject::VersionUnknown.status(), 505);
    }

    #[test]
    fn every_explanation_names_its_rfc() {
        for reject in [Reject::NotHttp, Reject::HostMissing, Reject::ChunkEnd, Reject::Userinfo] {
            assert!(reject.explain().contains("RFC "), "{reject:?}");
            assert!(reject.explain().contains('§'), "{reject:?}");
        }
    }
}
