//! Chunked bodies: sizes, extensions, data, trailers.

use super::{Accept, Case, Expected, POST, Raw, accept, chunked, refuse};

const CHUNK: &str = "RFC 9112 §7.1";
const EXTENSION: &str = "RFC 9112 §7.1.1";
const TRAILER: &str = "RFC 9112 §7.1.2";
const FORBIDDEN: &str = "RFC 9110 §6.5.1";

pub(crate) static CASES: &[Case] = &[
    accept(CHUNK, "no chunk", chunked!("0\r\n\r\n"), POST),
    accept(CHUNK, "two chunks", chunked!("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), body(b"abcde")),
    accept(CHUNK, "small hexadecimal", chunked!("a\r\n0123456789\r\n0\r\n\r\n"), TEN),
    accept(CHUNK, "large hexadecimal", chunked!("A\r\n0123456789\r\n0\r\n\r\n"), TEN),
    accept(CHUNK, "leading zeros", chunked!("000a\r\n0123456789\r\n0\r\n\r\n"), TEN),
    accept(CHUNK, "many zeros at the end", chunked!("1\r\na\r\n0000000000\r\n\r\n"), body(b"a")),
    accept(
        CHUNK,
        "more zeros than 64 bits have",
        chunked!("00000000000000000000000001\r\na\r\n0\r\n\r\n"),
        body(b"a"),
    ),
    accept(
        CHUNK,
        "line ends in the data",
        chunked!("4\r\n\r\n\r\n\r\n0\r\n\r\n"),
        body(b"\r\n\r\n"),
    ),
    refuse(400, CHUNK, "no size", chunked!("\r\n")),
    refuse(400, CHUNK, "a plus sign", chunked!("+1\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "a minus sign", chunked!("-1\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "0x", chunked!("0x1\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "a letter beyond f", chunked!("g\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "an underscore", chunked!("1_0\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "a comma", chunked!("1,0\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "a dot", chunked!("1.0\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "a space before", chunked!(" 1\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "a tab before", chunked!("\t1\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "a space after", chunked!("1 \r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "a space after the last size", chunked!("1\r\na\r\n0 \r\n\r\n")),
    refuse(400, CHUNK, "NUL after", chunked!("1\0\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "2 to the 64th", chunked!("10000000000000000\r\na\r\n0\r\n\r\n")),
    refuse(
        400,
        CHUNK,
        "1, wrapped around 64 bits",
        chunked!("10000000000000001\r\na\r\n0\r\n\r\n"),
    ),
    refuse(
        413,
        "RFC 9110 §15.5.14",
        "a chunk of as much as 64 bits hold",
        chunked!("ffffffffffffffff\r\n"),
    ),
    refuse(413, "RFC 9110 §15.5.14", "a chunk beyond the limit", chunked!("40000001\r\n")),
    refuse(
        413,
        "RFC 9110 §15.5.14",
        "beyond the limit by a second chunk",
        chunked!("1\r\na\r\n40000000\r\n"),
    ),
    // Line ends.
    refuse(400, "RFC 9112 §2.2", "LF after the size", chunked!("1\na\r\n0\r\n\r\n")),
    refuse(400, "RFC 9112 §2.2", "CR after the size", chunked!("1\ra\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "LF after the data", chunked!("1\r\na\n0\r\n\r\n")),
    refuse(400, CHUNK, "CR after the data", chunked!("1\r\na\r0\r\n\r\n")),
    refuse(400, CHUNK, "nothing after the data", chunked!("1\r\na0\r\n\r\n")),
    refuse(400, CHUNK, "more data than announced", chunked!("1\r\nab\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "two bytes in place of the line end", chunked!("1\r\naXX0\r\n\r\n")),
    refuse(400, "RFC 9112 §2.2", "LF after the last size", chunked!("0\n\r\n")),
    refuse(400, "RFC 9112 §2.2", "LF at the end", chunked!("0\r\n\n")),
    refuse(400, "RFC 9112 §2.2", "CR at the end", chunked!("0\r\n\rX")),
    refuse(400, CHUNK, "a quoted size", chunked!("\"1\"\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "a size in brackets", chunked!("[1]\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "a vertical tab before", chunked!("\x0b1\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "digits beyond ASCII", chunked!("１\r\na\r\n0\r\n\r\n")),
    refuse(400, CHUNK, "less data than announced", chunked!("5\r\na\r\n0\r\n\r\nxx")),
    refuse(400, CHUNK, "two line ends after the data", chunked!("1\r\na\r\n\r\n0\r\n\r\n")),
    // Extensions.
    accept(EXTENSION, "an empty quoted value", chunked!("1;b=\"\"\r\na\r\n0\r\n\r\n"), body(b"a")),
    accept(EXTENSION, "one with the last size", chunked!("0;b=c\r\n\r\n"), POST),
    refuse(400, EXTENSION, "two values", chunked!("1;b=c=d\r\na\r\n0\r\n\r\n")),
    refuse(400, EXTENSION, "bytes after a quote", chunked!("1;b=\"c\"d\r\na\r\n0\r\n\r\n")),
    accept(EXTENSION, "a name", chunked!("1;b\r\na\r\n0\r\n\r\n"), body(b"a")),
    accept(EXTENSION, "a value", chunked!("1;b=c\r\na\r\n0;d=e\r\n\r\n"), body(b"a")),
    accept(EXTENSION, "several", chunked!("1;b;c=d;e\r\na\r\n0\r\n\r\n"), body(b"a")),
    accept(EXTENSION, "a quoted value", chunked!("1;b=\"c;\\\"d \"\r\na\r\n0\r\n\r\n"), body(b"a")),
    accept(
        EXTENSION,
        "white space that is bad but legal",
        chunked!("1 ; b = c\t; d\r\na\r\n0\r\n\r\n"),
        body(b"a"),
    ),
    refuse(400, EXTENSION, "a semicolon alone", chunked!("1;\r\na\r\n0\r\n\r\n")),
    refuse(400, EXTENSION, "two semicolons", chunked!("1;;b\r\na\r\n0\r\n\r\n")),
    refuse(400, EXTENSION, "no name", chunked!("1;=c\r\na\r\n0\r\n\r\n")),
    refuse(400, EXTENSION, "no value", chunked!("1;b=\r\na\r\n0\r\n\r\n")),
    refuse(400, EXTENSION, "two names", chunked!("1;b c\r\na\r\n0\r\n\r\n")),
    refuse(400, EXTENSION, "an open quote", chunked!("1;b=\"c\r\na\r\n0\r\n\r\n")),
    refuse(400, EXTENSION, "NUL", chunked!("1;b\0\r\na\r\n0\r\n\r\n")),
    refuse(400, EXTENSION, "NUL in quotes", chunked!("1;b=\"\0\"\r\na\r\n0\r\n\r\n")),
    refuse(400, "RFC 9112 §2.2", "LF in an extension", chunked!("1;b\na\r\n0\r\n\r\n")),
    refuse(
        400,
        "RFC 9112 §2.2",
        "LF in the quotes of an extension",
        chunked!("1;b=\"\n\"\r\na\r\n0\r\n\r\n"),
    ),
    refuse(400, EXTENSION, "CR in quotes", chunked!("1;b=\"\r\"\r\na\r\n0\r\n\r\n")),
    refuse(400, "RFC 9112 §2.2", "CR in an extension", chunked!("1;b\rc\r\na\r\n0\r\n\r\n")),
    Case {
        name: "an extension beyond the limit",
        rfc: EXTENSION,
        raw: Raw::Repeat { before: chunked!("1;"), unit: "b", times: 20_000, after: "\r\na" },
        expected: Expected::Refuse(400),
    },
    Case {
        name: "extensions and hardly any data",
        rfc: EXTENSION,
        raw: Raw::Repeat { before: chunked!(""), unit: "1;bcd\r\na\r\n", times: 9000, after: "" },
        expected: Expected::Refuse(400),
    },
    Case {
        name: "endless zeros before a size",
        rfc: CHUNK,
        raw: Raw::Repeat { before: chunked!(""), unit: "0", times: 20_000, after: "" },
        expected: Expected::Refuse(400),
    },
    // Trailers.
    accept(TRAILER, "a trailer", chunked!("1\r\na\r\n0\r\nX: y\r\n\r\n"), body(b"a")),
    accept(TRAILER, "two trailers", chunked!("0\r\nX: y\r\nX: z\r\n\r\n"), POST),
    refuse(400, "RFC 9112 §2.2", "CR in a trailer", chunked!("0\r\nX: y\rz\r\n\r\n")),
    refuse(400, "RFC 9110 §5.1", "a bad name of a trailer", chunked!("0\r\nX Y: z\r\n\r\n")),
    refuse(
        400,
        "RFC 9112 §5.2",
        "a space before the first trailer",
        chunked!("0\r\n X: y\r\n\r\n"),
    ),
    refuse(400, FORBIDDEN, "a length as trailer", chunked!("0\r\nContent-Length: 9\r\n\r\n")),
    refuse(
        400,
        FORBIDDEN,
        "a coding as trailer",
        chunked!("0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ),
    refuse(400, FORBIDDEN, "a host as trailer", chunked!("0\r\nX: y\r\nhost: b\r\n\r\n")),
    refuse(400, FORBIDDEN, "who asks as trailer", chunked!("0\r\nAuthorization: b\r\n\r\n")),
    refuse(400, FORBIDDEN, "a type as trailer", chunked!("0\r\nContent-Type: a/b\r\n\r\n")),
    refuse(
        400,
        "RFC 9112 §5.1",
        "a space before a trailer's colon",
        chunked!("0\r\nX : y\r\n\r\n"),
    ),
    refuse(400, "RFC 9112 §5.2", "a folded trailer", chunked!("0\r\nX: y\r\n z\r\n\r\n")),
    refuse(400, TRAILER, "no colon", chunked!("0\r\nX\r\n\r\n")),
    refuse(400, "RFC 9110 §5.5", "NUL in a trailer", chunked!("0\r\nX: \0\r\n\r\n")),
    refuse(400, "RFC 9112 §2.2", "LF ends a trailer", chunked!("0\r\nX: y\n\r\n")),
    Case {
        name: "too many trailers",
        rfc: TRAILER,
        raw: Raw::Repeat { before: chunked!("0\r\n"), unit: "X: y\r\n", times: 101, after: "\r\n" },
        expected: Expected::Refuse(431),
    },
    Case {
        name: "a trailer beyond the limit",
        rfc: TRAILER,
        raw: Raw::Repeat { before: chunked!("0\r\nX: "), unit: "y", times: 20_000, after: "" },
        expected: Expected::Refuse(431),
    },
];

const TEN: Accept = body(b"0123456789");

const fn body(body: &'static [u8]) -> Accept {
    Accept { body, ..POST }
}
