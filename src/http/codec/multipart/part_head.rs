//! [`PartHead`]: the head of a part, and what it must have.

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, HeaderName};

use super::fault::MultipartRule;
use super::limits::MultipartLimits;
use super::parameters::{parameters, unquote};
use crate::http::codec::reject::Reject;
use crate::http::codec::request::read_section;

/// The head of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartHead {
    pub(crate) name: String,
    pub(crate) file_name: Option<String>,
    pub(crate) headers: HeaderMap,
}

impl PartHead {
    /// Reads the field lines of `section`, which ends with the empty line.
    pub(super) fn read(section: Vec<u8>, limits: &MultipartLimits) -> Result<Self, MultipartRule> {
        let headers = read_section(section, limits.fields).map_err(|reject| match reject {
            Reject::TooManyFields => MultipartRule::TooManyFields(limits.fields),
            reject => MultipartRule::Field(reject),
        })?;
        let mut dispositions = headers.get_all(CONTENT_DISPOSITION).iter();
        let disposition = dispositions.next().ok_or(MultipartRule::DispositionMissing)?;
        if dispositions.next().is_some() {
            return Err(MultipartRule::DispositionRepeated);
        }
        let (name, file_name) = read_disposition(disposition.as_bytes(), limits)?;
        check_content_type(&headers)?;
        check_transfer_encoding(&headers)?;
        Ok(Self { name, file_name, headers })
    }
}

/// The name and the file name in `form-data; name="…"; filename="…"` (RFC 7578 §4.2).
///
/// Both stay as they were sent: browsers encode quotes and line ends as `%22`, `%0D` and `%0A`, but
/// do not encode the percent sign, so that decoding would be ambiguous. Other parameters are
/// ignored, `filename*` too, which the RFC forbids.
fn read_disposition(
    value: &[u8],
    limits: &MultipartLimits,
) -> Result<(String, Option<String>), MultipartRule> {
    let (disposition, parameters) = parameters(value);
    if !disposition.eq_ignore_ascii_case(b"form-data") {
        return Err(MultipartRule::NotDisposedAsFormData);
    }
    let (mut name, mut file_name) = (None, None);
    for parameter in parameters {
        let parameter = parameter.ok_or(MultipartRule::DispositionSyntax)?;
        let value = unquote(parameter.value).ok_or(MultipartRule::DispositionSyntax)?;
        let slot = match parameter {
            _ if parameter.is(b"name") => &mut name,
            _ if parameter.is(b"filename") => &mut file_name,
            _ => continue,
        };
        // Two readers could choose differently between two of them.
        if slot.replace(value).is_some() {
            return Err(MultipartRule::DispositionSyntax);
        }
    }
    let name = name.ok_or(MultipartRule::NameMissing)?;
    if name.len() > limits.name {
        return Err(MultipartRule::NameTooLong(limits.name));
    }
    if file_name.as_ref().is_some_and(|it| it.len() > limits.file_name) {
        return Err(MultipartRule::FileNameTooLong(limits.file_name));
    }
    let name = String::from_utf8(name.into_owned()).map_err(|_| MultipartRule::NameNotUtf8)?;
    let file_name = file_name.map(|it| String::from_utf8(it.into_owned())).transpose();
    Ok((name, file_name.map_err(|_| MultipartRule::FileNameNotUtf8)?))
}

/// At most one Content-Type, in visible ASCII.
fn check_content_type(headers: &HeaderMap) -> Result<(), MultipartRule> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (None | Some(Ok(_)), None) => Ok(()),
        _ => Err(MultipartRule::ContentType),
    }
}

/// The data of a part is sent as it is: to decode base64 here, as mail does, would give it a second
/// form.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), MultipartRule> {
    let name = HeaderName::from_static("content-transfer-encoding");
    let is_identity = |value: &[u8]| {
        ["7bit", "8bit", "binary"].iter().any(|it| value.eq_ignore_ascii_case(it.as_bytes()))
    };
    match headers.get_all(name).iter().all(|value| is_identity(value.as_bytes())) {
        true => Ok(()),
        false => Err(MultipartRule::TransferEncoding),
    }
}
