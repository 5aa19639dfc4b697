//! The line before a chunk's data: `chunk-size [ chunk-ext ] CRLF` (RFC 9112 §7.1, §7.1.1).

use crate::http::codec::reject::Reject;
use crate::http::codec::request::scan::{is_token, is_value};

/// Where in the line the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Digits,
    /// White space that only a semicolon may follow, as after a size.
    BeforeSemicolon,
    ExtensionStart,
    Name,
    /// White space after a name: an equals sign or a semicolon follows.
    AfterName,
    ValueStart,
    Token,
    Quoted,
    Escaped,
    /// After the closing quote.
    AfterQuote,
    LineFeed,
}

/// Reads the line byte by byte. The extensions are checked, counted and forgotten.
#[derive(Debug)]
pub(super) struct ChunkLine {
    at: At,
    size: u64,
}

impl ChunkLine {
    pub(super) const START: Self = Self { at: At::Start, size: 0 };

    /// Takes one byte; with the last one returns the size of the chunk.
    pub(super) fn step(&mut self, byte: u8) -> Result<Option<u64>, Reject> {
        if byte == b'\n' && self.at != At::LineFeed {
            return Err(Reject::BareLf);
        }
        self.at = match self.at {
            At::Start => self.digit(byte)?,
            At::Digits => match byte {
                b'\r' => At::LineFeed,
                b';' => At::ExtensionStart,
                b' ' | b'\t' => At::BeforeSemicolon,
                _ => self.digit(byte)?,
            },
            At::BeforeSemicolon => match byte {
                b';' => At::ExtensionStart,
                b' ' | b'\t' => At::BeforeSemicolon,
                _ => return Err(Reject::ChunkSize),
            },
            At::LineFeed => match byte {
                b'\n' => return Ok(Some(self.size)),
                _ => return Err(Reject::BareCr),
            },
            at => extension(at, byte).ok_or(Reject::ChunkExtension)?,
        };
        Ok(None)
    }

    /// Whether the last byte counts as extension: what follows the size does, and zeros before it,
    /// which say as little and of which there may be as many.
    pub(super) fn in_extension(&self) -> bool {
        match self.at {
            At::Digits => self.size == 0,
            at => !matches!(at, At::Start | At::LineFeed),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<At, Reject> {
        let digit = char::from(byte).to_digit(16).ok_or(Reject::ChunkSize)?;
        if self.size > u64::MAX >> 4 {
            return Err(Reject::ChunkSize);
        }
        self.size = self.size << 4 | u64::from(digit);
        Ok(At::Digits)
    }
}

fn extension(at: At, byte: u8) -> Option<At> {
    let blank = byte == b' ' || byte == b'\t';
    let next = match (at, byte) {
        (At::ExtensionStart | At::AfterName | At::ValueStart, _) if blank => at,
        (At::ExtensionStart | At::Name, _) if is_token(byte) => At::Name,
        (At::Name, _) if blank => At::AfterName,
        (At::Name | At::AfterName, b'=') => At::ValueStart,
        (At::Name | At::AfterName | At::Token | At::AfterQuote, b';') => At::ExtensionStart,
        (At::Name | At::Token | At::AfterQuote, b'\r') => At::LineFeed,
        (At::ValueStart, b'"') => At::Quoted,
        (At::ValueStart | At::Token, _) if is_token(byte) => At::Token,
        (At::Token | At::AfterQuote, _) if blank => At::BeforeSemicolon,
        (At::Quoted, b'"') => At::AfterQuote,
        (At::Quoted, b'\\') => At::Escaped,
        (At::Quoted | At::Escaped, _) if is_value(byte) => At::Quoted,
        _ => return None,
    };
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<u64>, Reject> {
        let mut reader = ChunkLine::START;
        for (index, byte) in line.bytes().enumerate() {
            if let Some(size) = reader.step(byte)? {
                assert_eq!(index + 1, line.len(), "{line:?}");
                return Ok(Some(size));
            }
        }
        Ok(None)
    }

    #[test]
    fn sizes_are_hexadecimal_numbers_of_64_bits() {
        assert_eq!(read("0\r\n"), Ok(Some(0)));
        assert_eq!(read("fF\r\n"), Ok(Some(255)));
        assert_eq!(read("0000000000000000000000001\r\n"), Ok(Some(1)));
        assert_eq!(read("ffffffffffffffff\r\n"), Ok(Some(u64::MAX)));
        for line in [
            "10000000000000000\r\n",
            "\r\n",
            "+1\r\n",
            "-1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\n",
            "g\r\n",
            "1_0\r\n",
            ";a\r\n",
            "1,2\r\n",
        ] {
            assert_eq!(read(line), Err(Reject::ChunkSize), "{line:?}");
        }
        assert_eq!(read("1\n"), Err(Reject::BareLf));
        assert_eq!(read("1\r1"), Err(Reject::BareCr));
    }

    #[test]
    fn extensions_are_read_to_the_grammar() {
        for line in [
            "1;a\r\n",
            "1;a=b\r\n",
            "1 ; a = b\r\n",
            "1;a;b=c\r\n",
            "1;a=\"\"\r\n",
            "1;a=\"b;\\\"c\"\r\n",
            "1;a=\"b\" ;c\r\n",
            "1\t;a\r\n",
        ] {
            assert_eq!(read(line), Ok(Some(1)), "{line:?}");
        }
        for line in [
            "1;\r\n",
            "1;;a\r\n",
            "1;=b\r\n",
            "1;a=\r\n",
            "1;a=b=c\r\n",
            "1;a b\r\n",
            "1;a=\"b\r\n",
            "1;a=\"b\"c\r\n",
            "1;a=\"\u{1}\"\r\n",
            "1;a=b\u{0}\r\n",
        ] {
            assert_eq!(read(line), Err(Reject::ChunkExtension), "{line:?}");
        }
        for line in ["1;a\n", "1;a=\"\n", "1;a=b\n"] {
            assert_eq!(read(line), Err(Reject::BareLf), "{line:?}");
        }
    }
}
