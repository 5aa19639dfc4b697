//! Where a body ends: Content-Length and Transfer-Encoding.

use super::{Accept, Case, GET, POST, accept, get, post, refuse};

const END: &str = "RFC 9112 §6.3";
const LENGTH: &str = "RFC 9110 §8.6";
const CODING: &str = "RFC 9112 §6.1";

pub(crate) static CASES: &[Case] = &[
    accept(END, "no body is announced", post!("", ""), POST),
    accept(LENGTH, "a length", post!("Content-Length: 5\r\n", "hello"), body(b"hello")),
    accept(LENGTH, "no length", post!("Content-Length: 0\r\n", ""), POST),
    accept(LENGTH, "leading zeros", post!("Content-Length: 005\r\n", "hello"), body(b"hello")),
    accept(
        LENGTH,
        "white space around",
        post!("Content-Length: \t5 \r\n", "hello"),
        body(b"hello"),
    ),
    accept("RFC 9110 §9.3.1", "a body with GET", get!("Content-Length: 0\r\n"), GET),
    accept(
        LENGTH,
        "bytes that look like a request",
        post!("Content-Length: 18\r\n", "GET / HTTP/1.1\r\n\r\n"),
        body(b"GET / HTTP/1.1\r\n\r\n"),
    ),
    refuse(400, END, "a plus sign", post!("Content-Length: +5\r\n", "hello")),
    refuse(400, END, "a minus sign", post!("Content-Length: -5\r\n", "hello")),
    refuse(400, END, "minus nothing", post!("Content-Length: -0\r\n", "")),
    refuse(400, END, "letters", post!("Content-Length: abc\r\n", "hello")),
    refuse(400, END, "a hexadecimal number", post!("Content-Length: 0x5\r\n", "hello")),
    refuse(400, END, "hexadecimal digits", post!("Content-Length: a\r\n", "0123456789")),
    refuse(400, END, "a fraction", post!("Content-Length: 5.0\r\n", "hello")),
    refuse(400, END, "an exponent", post!("Content-Length: 1e1\r\n", "0123456789")),
    refuse(400, END, "an underscore", post!("Content-Length: 1_0\r\n", "0123456789")),
    refuse(400, END, "a space between digits", post!("Content-Length: 1 0\r\n", "0123456789")),
    refuse(400, END, "a quoted number", post!("Content-Length: \"5\"\r\n", "hello")),
    refuse(400, END, "no number", post!("Content-Length:\r\n", "")),
    refuse(400, END, "a blank number", post!("Content-Length: \t\r\n", "")),
    refuse(400, END, "digits beyond ASCII", post!("Content-Length: ٥\r\n", "hello")),
    refuse(400, END, "a list of equals", post!("Content-Length: 5, 5\r\n", "hello")),
    refuse(400, END, "a list of differents", post!("Content-Length: 5, 6\r\n", "hello")),
    refuse(400, END, "a list with nothing", post!("Content-Length: 5,\r\n", "hello")),
    refuse(
        400,
        END,
        "repeated and equal",
        post!("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
    ),
    refuse(
        400,
        END,
        "repeated and different",
        post!("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
    ),
    refuse(
        400,
        END,
        "repeated with nothing",
        post!("Content-Length: 5\r\nContent-Length:\r\n", "hello"),
    ),
    refuse(400, LENGTH, "2 to the 64th", post!("Content-Length: 18446744073709551616\r\n", "")),
    refuse(
        400,
        LENGTH,
        "32 bits and then some, wrapped around 64",
        post!("Content-Length: 18446744073709551621\r\n", "hello"),
    ),
    refuse(
        400,
        LENGTH,
        "a number without end",
        post!("Content-Length: 99999999999999999999999999999999999999999\r\n", ""),
    ),
    refuse(
        413,
        "RFC 9110 §15.5.14",
        "beyond the limit",
        post!("Content-Length: 1073741825\r\n", ""),
    ),
    refuse(
        413,
        "RFC 9110 §15.5.14",
        "as much as 64 bits hold",
        post!("Content-Length: 18446744073709551615\r\n", ""),
    ),
    // Transfer-Encoding.
    accept(
        CODING,
        "chunked",
        post!("Transfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\n\r\n"),
        body(b"a"),
    ),
    accept(
        "RFC 9112 §7",
        "codings have no case",
        post!("Transfer-Encoding: \tChunKED \r\n", "1\r\na\r\n0\r\n\r\n"),
        body(b"a"),
    ),
    refuse(
        400,
        CODING,
        "with a length",
        post!("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
    ),
    refuse(
        400,
        CODING,
        "with a length before",
        post!("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ),
    refuse(
        400,
        CODING,
        "with a length of 0",
        post!("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ),
    refuse(
        400,
        CODING,
        "with a length in other case",
        post!("CONTENT-LENGTH: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
    ),
    refuse(
        400,
        CODING,
        "an unknown one with a length",
        post!("Transfer-Encoding: x\r\nContent-Length: 5\r\n", "hello"),
    ),
    refuse(
        400,
        CODING,
        "in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    refuse(
        400,
        CODING,
        "in HTTP/1.0 with a length",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    refuse(501, CODING, "gzip before", post!("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
    refuse(
        501,
        CODING,
        "gzip in a line before",
        post!("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ),
    refuse(
        501,
        CODING,
        "an unknown one before",
        post!("Transfer-Encoding: x, chunked\r\n", "0\r\n\r\n"),
    ),
    refuse(
        501,
        CODING,
        "identity before",
        post!("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n"),
    ),
    refuse(400, END, "gzip after", post!("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n")),
    refuse(400, END, "gzip alone", post!("Transfer-Encoding: gzip\r\n", "0\r\n\r\n")),
    refuse(400, END, "identity", post!("Transfer-Encoding: identity\r\n", "hello")),
    refuse(
        400,
        END,
        "identity after",
        post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
    ),
    refuse(
        400,
        CODING,
        "twice in a list",
        post!("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
    ),
    refuse(
        400,
        CODING,
        "twice in lines",
        post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ),
    refuse(400, END, "a letter before", post!("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
    refuse(400, END, "a letter after", post!("Transfer-Encoding: chunkedx\r\n", "0\r\n\r\n")),
    refuse(400, END, "without its end", post!("Transfer-Encoding: chunk\r\n", "0\r\n\r\n")),
    refuse(400, END, "nothing", post!("Transfer-Encoding:\r\n", "0\r\n\r\n")),
    refuse(400, END, "nothing after", post!("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n")),
    refuse(400, END, "nothing before", post!("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n")),
    refuse(400, END, "a parameter", post!("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n")),
    refuse(400, END, "in quotes", post!("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n")),
    refuse(400, END, "by a semicolon", post!("Transfer-Encoding: x; chunked\r\n", "0\r\n\r\n")),
    refuse(
        400,
        END,
        "after a vertical tab",
        post!("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
    ),
    refuse(400, END, "behind NUL", post!("Transfer-Encoding: chunked\0\r\n", "0\r\n\r\n")),
    refuse(
        400,
        "RFC 9112 §5.2",
        "folded",
        post!("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
    ),
];

const fn body(body: &'static [u8]) -> Accept {
    Accept { body, ..POST }
}
