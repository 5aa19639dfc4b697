//! The reader of responses that all tests use is strict, which is shown here: a test whose reader
//! takes anything passes whatever the server sends.

use crate::support::response;

#[test]
fn a_response_that_is_not_well_formed_is_an_error() {
    for (bytes, expected) in [
        ("", "a missing line"),
        ("HTTP/1.1 200 OK", "a line without an end"),
        ("HTTP/1.0 200 OK\r\n\r\n", "not HTTP/1.1"),
        ("HTTP/1.1 200\r\n\r\n", "no reason phrase"),
        ("HTTP/1.1 20 OK\r\n\r\n", "no status"),
        ("HTTP/1.1 +20 OK\r\n\r\n", "no status"),
        ("HTTP/1.1 600 OK\r\n\r\n", "no status"),
        ("HTTP/1.1 200 OK\r\nA: b\r\n", "a missing line"),
        ("HTTP/1.1 200 OK\r\nA\r\n\r\n", "a field without a colon"),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "a bad field name"),
        ("HTTP/1.1 200 OK\nA: b\r\n\r\n", "control bytes"),
        ("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", "control bytes"),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "framing in a 204"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n", "not a number"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "cut short"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
            "framing by",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "framing by"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "chunk size"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", "longer"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "a missing line"),
    ] {
        let error = response::read(&mut bytes.as_bytes(), false).unwrap_err();
        assert!(error.contains(expected), "{bytes:?}: {error}");
    }
}

#[test]
fn a_body_ends_where_its_framing_says() {
    let table = [
        ("HTTP/1.1 204 No Content\r\n\r\nrest", false, "", "rest"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabrest", false, "ab", "rest"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nrest", true, "", "rest"),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nrest", false, "", "rest"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nA\r\n0123456789\r\n0\r\n\r\nrest",
            false,
            "a0123456789",
            "rest",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nall of it", false, "all of it", ""),
    ];
    for (bytes, bodiless, body, expected) in table {
        let mut rest = bytes.as_bytes();
        let response = response::read(&mut rest, bodiless).unwrap();
        assert_eq!((response.text(), rest), (body, expected.as_bytes()), "{bytes:?}");
    }
}

#[test]
#[should_panic(expected = "occurs twice")]
fn a_field_that_occurs_twice_has_no_value() {
    let bytes = b"HTTP/1.1 200 OK\r\nA: b\r\na: c\r\nContent-Length: 0\r\n\r\n";
    response::read(&mut &bytes[..], false).unwrap().field("a");
}
