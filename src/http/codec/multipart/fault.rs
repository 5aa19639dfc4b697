//! [`MultipartFault`]: why a multipart body is rejected, and where.

use std::error::Error;
use std::fmt;

use http::StatusCode;

use crate::http::codec::reject::Reject;

/// The rule that a multipart body breaks, and the part that breaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MultipartFault {
    /// The number of the part, from 1. 0: outside of every part.
    pub(crate) part: usize,
    pub(crate) rule: MultipartRule,
}

/// The rule that a multipart body breaks. Limits are in bytes, but for those of numbers of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MultipartRule {
    // The Content-Type of the request.
    NotFormData,
    BoundaryMissing,
    BoundaryInvalid,
    // The frame.
    PreambleTooLong(u64),
    BoundaryLine,
    CloseLine,
    EpilogueTooLong(u64),
    EndMissing,
    TooManyParts(usize),
    PartTooLong(u64),
    TotalTooLong(u64),
    // The head of a part.
    Field(Reject),
    HeadTooLong(usize),
    TooManyFields(usize),
    DispositionMissing,
    DispositionRepeated,
    DispositionSyntax,
    NotDisposedAsFormData,
    NameMissing,
    NameNotUtf8,
    NameTooLong(usize),
    FileNameNotUtf8,
    FileNameTooLong(usize),
    ContentType,
    TransferEncoding,
    // The data of a part, for the handler.
    NotUtf8,
}

impl MultipartRule {
    /// The status of the response.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NotFormData => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyParts(_)
            | Self::PartTooLong(_)
            | Self::TotalTooLong(_)
            | Self::HeadTooLong(_)
            | Self::TooManyFields(_)
            | Self::NameTooLong(_)
            | Self::FileNameTooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for MultipartRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotFormData => f.write_str("Content-Type is not multipart/form-data"),
            Self::BoundaryMissing => f.write_str("no boundary in Content-Type"),
            Self::BoundaryInvalid => f.write_str(
                "invalid boundary in Content-Type: expected 1 to 70 characters (RFC 2046 §5.1.1)",
            ),
            Self::PreambleTooLong(max) => write!(f, "no boundary in the first {max} bytes"),
            Self::BoundaryLine => {
                f.write_str("a boundary is followed by neither a line end nor `--`")
            }
            Self::CloseLine => f.write_str("the last boundary is not followed by a line end"),
            Self::EpilogueTooLong(max) => {
                write!(f, "more than {max} bytes after the last boundary")
            }
            Self::EndMissing => f.write_str("the body ends before its last boundary"),
            Self::TooManyParts(max) => write!(f, "more than {max} parts"),
            Self::PartTooLong(max) => write!(f, "longer than {max} bytes"),
            Self::TotalTooLong(max) => write!(f, "the body is longer than {max} bytes"),
            Self::Field(reject) => reject.fmt(f),
            Self::HeadTooLong(max) => write!(f, "the head is longer than {max} bytes"),
            Self::TooManyFields(max) => write!(f, "more than {max} fields"),
            Self::DispositionMissing => f.write_str("no Content-Disposition"),
            Self::DispositionRepeated => f.write_str("more than one Content-Disposition"),
            Self::DispositionSyntax => f.write_str("malformed Content-Disposition"),
            Self::NotDisposedAsFormData => f.write_str("Content-Disposition is not form-data"),
            Self::NameMissing => f.write_str("no name in Content-Disposition"),
            Self::NameNotUtf8 => f.write_str("the name is not UTF-8"),
            Self::NameTooLong(max) => write!(f, "the name is longer than {max} bytes"),
            Self::FileNameNotUtf8 => f.write_str("the file name is not UTF-8"),
            Self::FileNameTooLong(max) => write!(f, "the file name is longer than {max} bytes"),
            Self::ContentType => f.write_str("invalid Content-Type"),
            Self::TransferEncoding => f.write_str(
                "invalid Content-Transfer-Encoding: expected 7bit, 8bit or binary (RFC 7578 §4.7)",
            ),
            Self::NotUtf8 => f.write_str("not UTF-8 text"),
        }
    }
}

/// The place and the rule: `part 3: no name in Content-Disposition`.
impl fmt::Display for MultipartFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            0 => write!(f, "multipart: {}", self.rule),
            part => write!(f, "part {part}: {}", self.rule),
        }
    }
}

impl Error for MultipartFault {}
