//! The parameters of a field value: `; name=token; name="quoted string"` (RFC 2045 §5.1).

use std::borrow::Cow;

use crate::http::codec::byte_class::is_token_byte;
use crate::http::list::split;

/// A parameter as it was sent: the value is quoted or not.
pub(super) struct Parameter<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

impl<'a> Parameter<'a> {
    /// `name=value`, without white space at the equals sign.
    fn read(text: &'a [u8]) -> Option<Self> {
        let equals = text.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (&text[..equals], &text[equals + 1..]);
        let is_name = !name.is_empty() && name.iter().all(|&byte| is_token_byte(byte));
        is_name.then_some(Self { name, value })
    }

    pub(super) fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Splits a value at its semicolons: the text before the first, and the parameters; `None` for a
/// malformed one.
pub(super) fn parameters(value: &[u8]) -> (&[u8], impl Iterator<Item = Option<Parameter<'_>>>) {
    let mut members = split(value, b';');
    let first = members.next().unwrap_or_default();
    (first, members.filter(|member| !member.is_empty()).map(Parameter::read))
}

/// The content of a token or a quoted string; `None` if it is neither.
///
/// A backslash escapes only a quote and a backslash, and stands for itself elsewhere: browsers used
/// to send `C:\photos\mill.jpg` like this.
pub(super) fn unquote(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(rest) = value.strip_prefix(b"\"") else {
        let is_token = !value.is_empty() && value.iter().all(|&byte| is_token_byte(byte));
        return is_token.then_some(Cow::Borrowed(value));
    };
    let mut content = Vec::with_capacity(rest.len());
    let mut rest = rest.iter();
    while let Some(&byte) = rest.next() {
        match (byte, rest.as_slice()) {
            // The closing quote is the last byte.
            (b'"', after) => return after.is_empty().then_some(Cow::Owned(content)),
            (b'\\', [escaped @ (b'"' | b'\\'), ..]) => {
                content.push(*escaped);
                rest.next();
            }
            _ => content.push(byte),
        }
    }
    None
}
