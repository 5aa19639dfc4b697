//! [`Boundary`]: what separates the parts of a body, from the request's `Content-Type`.

use super::fault::{MultipartFault, MultipartRule};
use super::parameters::parameters;

/// The most characters of a boundary (RFC 2046 §5.1.1).
const BOUNDARY_MAX: usize = 70;

/// The boundary between parts: 1 to 70 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Boundary(Vec<u8>);

impl Boundary {
    /// The boundary of `Content-Type: multipart/form-data; boundary=…`, quoted or not.
    ///
    /// # Errors
    /// `NotFormData` for another type, and `BoundaryMissing` or `BoundaryInvalid`.
    pub(crate) fn from_content_type(value: &[u8]) -> Result<Self, MultipartFault> {
        Self::find(value).map_err(|rule| MultipartFault { part: 0, rule })
    }

    fn find(value: &[u8]) -> Result<Self, MultipartRule> {
        let (media_type, parameters) = parameters(value);
        if !media_type.eq_ignore_ascii_case(b"multipart/form-data") {
            return Err(MultipartRule::NotFormData);
        }
        let mut boundaries = parameters.flatten().filter(|it| it.is(b"boundary"));
        let boundary = boundaries.next().ok_or(MultipartRule::BoundaryMissing)?.value;
        // Two readers could choose differently between two of them.
        if boundaries.next().is_some() {
            return Err(MultipartRule::BoundaryInvalid);
        }
        // Without quotes it should be a token, but programs send `----=_Part_1` too, which means
        // the same to every reader.
        let quoted = boundary.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        let boundary = quoted.unwrap_or(boundary);
        let is_valid = (1..=BOUNDARY_MAX).contains(&boundary.len())
            && boundary.iter().all(|&byte| is_boundary_byte(byte))
            && !boundary.ends_with(b" ")
            && (quoted.is_some() || !boundary.contains(&b' '));
        match is_valid {
            true => Ok(Self(boundary.to_vec())),
            false => Err(MultipartRule::BoundaryInvalid),
        }
    }

    /// The delimiter between two parts: a line end, two hyphens and the boundary.
    pub(super) fn delimiter(&self) -> Vec<u8> {
        [b"\r\n--", self.0.as_slice()].concat()
    }
}

/// Whether a boundary may have this byte: `bchars` (RFC 2046 §5.1.1).
fn is_boundary_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_1_to_70_characters_quoted_or_not() {
        let long = "x".repeat(70);
        for (value, expected) in [
            ("multipart/form-data; boundary=abc", "abc"),
            ("Multipart/Form-Data;Boundary=abc", "abc"),
            ("multipart/form-data; charset=utf-8; boundary=\"a b\"; x=y", "a b"),
            ("multipart/form-data; boundary=\"'()+_,-./:=?\"", "'()+_,-./:=?"),
            ("multipart/form-data; boundary=----=_Part_1", "----=_Part_1"),
            ("multipart/form-data; x=\"; boundary=no\"; boundary=abc", "abc"),
            (&format!("multipart/form-data; boundary={long}"), &long),
        ] {
            let boundary = Boundary::from_content_type(value.as_bytes());
            assert_eq!(boundary, Ok(Boundary(expected.into())), "{value}");
        }
    }

    #[test]
    fn another_type_is_a_415_and_a_bad_boundary_a_400() {
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for (value, rule) in [
            ("", MultipartRule::NotFormData),
            ("text/plain; boundary=a", MultipartRule::NotFormData),
            ("multipart/mixed; boundary=a", MultipartRule::NotFormData),
            ("multipart/form-databoundary=a", MultipartRule::NotFormData),
            ("multipart/form-data", MultipartRule::BoundaryMissing),
            ("multipart/form-data; boundary", MultipartRule::BoundaryMissing),
            ("multipart/form-data; xboundary=a", MultipartRule::BoundaryMissing),
            ("multipart/form-data; boundary=", MultipartRule::BoundaryInvalid),
            ("multipart/form-data; boundary=\"\"", MultipartRule::BoundaryInvalid),
            ("multipart/form-data; boundary=\"a \"", MultipartRule::BoundaryInvalid),
            ("multipart/form-data; boundary=a b", MultipartRule::BoundaryInvalid),
            ("multipart/form-data; boundary=\"a", MultipartRule::BoundaryInvalid),
            ("multipart/form-data; boundary=\"a\\b\"", MultipartRule::BoundaryInvalid),
            ("multipart/form-data; boundary=\u{e9}", MultipartRule::BoundaryInvalid),
            ("multipart/form-data; boundary=a, b", MultipartRule::BoundaryInvalid),
            ("multipart/form-data; boundary=a; boundary=b", MultipartRule::BoundaryInvalid),
            (&long, MultipartRule::BoundaryInvalid),
        ] {
            let fault = Boundary::from_content_type(value.as_bytes()).unwrap_err();
            assert_eq!(fault, MultipartFault { part: 0, rule }, "{value}");
            let expected = if rule == MultipartRule::NotFormData { 415 } else { 400 };
            assert_eq!(rule.status(), expected, "{value}");
        }
    }
}
