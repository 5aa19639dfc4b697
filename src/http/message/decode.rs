//! What decoding JSON and forms has in common: the media type, and errors that name the place.

use std::fmt;

use http::{HeaderMap, StatusCode, header};

use super::request_error::RequestError;

/// The longest body that is decoded, in bytes, unless the handler sets another limit.
pub(super) const DECODED_BODY_MAX: u64 = 1 << 20;

/// The longest part of an error's text that may come from the client, in bytes: serde quotes names
/// and values.
const QUOTED_MAX: usize = 200;

/// The media type of the body, in small letters and without parameters; empty if there is none.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// Checks the media type of the body.
///
/// # Errors
/// 415 (RFC 9110 §15.5.16) for another type, or none.
pub(super) fn check_media_type(
    headers: &HeaderMap,
    expected: &str,
    is_expected: impl FnOnce(&str) -> bool,
) -> Result<(), RequestError> {
    let found = media_type(headers);
    if is_expected(&found) {
        return Ok(());
    }
    let message = match &*found {
        "" => format!("no content type: expected {expected}"),
        _ => format!("unsupported content type {:?}: expected {expected}", shorten(&found)),
    };
    Err(RequestError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

/// The field of a path, in front of a colon; nothing for the path of the whole value.
pub(super) fn field(path: &serde_path_to_error::Path) -> String {
    match path.iter().len() {
        0 => String::new(),
        _ => format!(" field {:?}", shorten(&path.to_string())),
    }
}

/// A text of bounded length, which ends with `…` if it was longer.
pub(super) fn shorten(text: &str) -> Shortened<'_> {
    let mut end = text.len().min(QUOTED_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Shortened { text: &text[..end], is_cut: end < text.len() }
}

/// The start of a text.
pub(super) struct Shortened<'a> {
    text: &'a str,
    is_cut: bool,
}

impl Shortened<'_> {
    fn mark(&self) -> &'static str {
        if self.is_cut { "…" } else { "" }
    }
}

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, self.mark())
    }
}

/// With quotes, and escapes for control characters.
impl fmt::Debug for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.text, self.mark())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_media_type_has_small_letters_and_no_parameters() {
        for (value, expected) in [
            ("application/json", "application/json"),
            ("Application/JSON ; charset=utf-8", "application/json"),
            ("text/plain;json", "text/plain"),
            ("", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(media_type(&headers), expected);
        }
        assert_eq!(media_type(&HeaderMap::new()), "");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shorten("short\n").to_string(), "short\n");
        assert_eq!(format!("{:?}", shorten("short\n")), "\"short\\n\"");
        let long = "€".repeat(100);
        assert_eq!(shorten(&long).to_string(), format!("{}…", "€".repeat(66)));
    }
}
