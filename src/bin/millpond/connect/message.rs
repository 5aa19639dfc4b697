//! The bytes of MESSAGE, and line ends as network protocols require them.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::args::{ConnectArgs, CrlfWhen};
use crate::failure::{Failure, code};

/// The bytes of MESSAGE, if there is one.
pub(super) fn bytes(args: &ConnectArgs) -> Result<Option<Cow<'_, [u8]>>, Failure> {
    let Some(message) = &args.message else { return Ok(None) };
    let bytes = if args.hex { Cow::Owned(hex(message)?) } else { message.as_bytes().into() };
    Ok(Some(match args.crlf {
        CrlfWhen::Always => {
            let mut out = Vec::with_capacity(bytes.len() + 16);
            LineEnds::default().translate(&bytes, &mut out);
            out.into()
        }
        CrlfWhen::Auto | CrlfWhen::Never => bytes,
    }))
}

/// Decodes pairs of hexadecimal digits, with or without white space between pairs.
fn hex(text: &OsStr) -> Result<Vec<u8>, Failure> {
    let invalid = |pair: &[u8]| {
        let byte = pair.escape_ascii();
        let what = format!("invalid byte \"{byte}\" in MESSAGE: expected two hexadecimal digits");
        Failure::new(code::USAGE, what)
            .with_hint("with --hex, MESSAGE is pairs of digits, such as \"48 65 6c 6c 6f\"")
    };
    let text = text.as_bytes().trim_ascii();
    let mut out = Vec::with_capacity(text.len() / 2);
    for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        for pair in word.chunks(2) {
            let digits = str::from_utf8(pair).ok().filter(|digits| digits.len() == 2);
            // `from_str_radix` accepts a sign as well.
            let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
            let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                return Err(invalid(pair));
            };
            out.push(byte);
        }
    }
    Ok(out)
}

/// Turns each LF into CRLF. Remembers whether the last byte was CR, as a piece can end between the
/// two.
#[derive(Debug, Default)]
pub(super) struct LineEnds {
    after_cr: bool,
}

impl LineEnds {
    /// Appends the bytes to `out`, with a CR before each LF that has none.
    pub(super) fn translate(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            if byte == b'\n' && !self.after_cr {
                out.push(b'\r');
            }
            out.push(byte);
            self.after_cr = byte == b'\r';
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_end_gets_its_carriage_return_once() {
        let table = [
            ("", ""),
            ("a\nb\n\n", "a\r\nb\r\n\r\n"),
            ("a\r\nb\n", "a\r\nb\r\n"),
            ("\r\r\n", "\r\r\n"),
            ("\n", "\r\n"),
        ];
        for (text, expected) in table {
            let mut out = Vec::new();
            LineEnds::default().translate(text.as_bytes(), &mut out);
            assert_eq!(out, expected.as_bytes(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn line_ends_do_not_depend_on_the_pieces(text in "[a\r\n]{0,40}", at in 0..40_usize) {
            let mut whole = Vec::new();
            LineEnds::default().translate(text.as_bytes(), &mut whole);
            let (first, second) = text.as_bytes().split_at(at.min(text.len()));
            let (mut ends, mut parts) = (LineEnds::default(), Vec::new());
            ends.translate(first, &mut parts);
            ends.translate(second, &mut parts);
            prop_assert_eq!(whole, parts);
        }
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        let table: [(&str, &[u8]); 4] =
            [("", b""), ("00ff", b"\0\xff"), (" 48 65\n6C ", b"Hel"), ("0a0D", b"\n\r")];
        for (text, expected) in table {
            assert_eq!(hex(OsStr::new(text)).unwrap(), expected, "{text:?}");
        }
        for text in ["0", "0g", "0 0", "+1", "0x01", "ä"] {
            let failure = hex(OsStr::new(text)).unwrap_err();
            assert_eq!(failure.code(), code::USAGE, "{text:?}");
            assert!(failure.message().starts_with("invalid byte \""), "{text:?}");
        }
    }
}
