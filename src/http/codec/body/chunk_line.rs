//! The line before a chunk's data: `chunk-size [ chunk-ext ] CRLF` (RFC 9112 §7.1, §7.1.1).

use crate::http::codec::byte_class::{is_token_byte, is_value_byte};
use crate::http::codec::reject::Reject;

/// Where in the line the parser is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Start,
    Digits,
    /// In white space after a size or a value: only a semicolon may follow.
    BeforeSemicolon,
    ExtensionStart,
    Name,
    /// In white space after a name: an equals sign or a semicolon follows.
    AfterName,
    ValueStart,
    Token,
    Quoted,
    Escaped,
    /// After the closing quote.
    AfterQuote,
    LineFeed,
}

/// Parses the line byte by byte. Extensions are checked and counted, but not stored.
#[derive(Debug)]
pub(super) struct ChunkLine {
    at: Position,
    size: u64,
}

impl ChunkLine {
    pub(super) fn new() -> Self {
        Self { at: Position::Start, size: 0 }
    }

    /// Parses one byte. Returns the size of the chunk at the last byte of the line.
    pub(super) fn step(&mut self, byte: u8) -> Result<Option<u64>, Reject> {
        if byte == b'\n' && self.at != Position::LineFeed {
            return Err(Reject::BareLf);
        }
        self.at = match self.at {
            Position::Start => self.digit(byte)?,
            Position::Digits => match byte {
                b'\r' => Position::LineFeed,
                b';' => Position::ExtensionStart,
                b' ' | b'\t' => Position::BeforeSemicolon,
                _ => self.digit(byte)?,
            },
            Position::BeforeSemicolon => match byte {
                b';' => Position::ExtensionStart,
                b' ' | b'\t' => Position::BeforeSemicolon,
                _ => return Err(Reject::ChunkSize),
            },
            Position::LineFeed => match byte {
                b'\n' => return Ok(Some(self.size)),
                _ => return Err(Reject::BareCr),
            },
            at => extension(at, byte).ok_or(Reject::ChunkExtension)?,
        };
        Ok(None)
    }

    /// Whether the last byte counts as extension: every byte after the size does, and so do leading
    /// zeros, which a client could otherwise send without end.
    pub(super) fn in_extension(&self) -> bool {
        match self.at {
            Position::Digits => self.size == 0,
            at => !matches!(at, Position::Start | Position::LineFeed),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<Position, Reject> {
        let digit = char::from(byte).to_digit(16).ok_or(Reject::ChunkSize)?;
        if self.size > u64::MAX >> 4 {
            return Err(Reject::ChunkSize);
        }
        self.size = self.size << 4 | u64::from(digit);
        Ok(Position::Digits)
    }
}

fn extension(at: Position, byte: u8) -> Option<Position> {
    let blank = byte == b' ' || byte == b'\t';
    let next = match (at, byte) {
        (Position::ExtensionStart | Position::AfterName | Position::ValueStart, _) if blank => at,
        (Position::ExtensionStart | Position::Name, _) if is_token_byte(byte) => Position::Name,
        (Position::Name, _) if blank => Position::AfterName,
        (Position::Name | Position::AfterName, b'=') => Position::ValueStart,
        (Position::Name | Position::AfterName | Position::Token | Position::AfterQuote, b';') => {
            Position::ExtensionStart
        }
        (Position::Name | Position::Token | Position::AfterQuote, b'\r') => Position::LineFeed,
        (Position::ValueStart, b'"') => Position::Quoted,
        (Position::ValueStart | Position::Token, _) if is_token_byte(byte) => Position::Token,
        (Position::Token | Position::AfterQuote, _) if blank => Position::BeforeSemicolon,
        (Position::Quoted, b'"') => Position::AfterQuote,
        (Position::Quoted, b'\\') => Position::Escaped,
        (Position::Quoted | Position::Escaped, _) if is_value_byte(byte) => Position::Quoted,
        _ => return None,
    };
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<u64>, Reject> {
        let mut reader = ChunkLine::new();
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
    fn extensions_follow_the_grammar() {
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
