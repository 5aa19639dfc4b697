//! Field lines: their syntax, Host, Connection, Expect, and how many there may be.

use super::{Accept, Case, Expected, GET, POST, Raw, accept, get, post, refuse, refuse_bytes};

pub(crate) static CASES: &[Case] = &[
    // Names and values.
    accept("RFC 9112 §5", "no white space", get!("X:y\r\n"), field(b"y")),
    accept("RFC 9112 §5.1", "white space around", get!("X: \t y z\t \r\n"), field(b"y z")),
    accept("RFC 9110 §5.5", "an empty value", get!("X:\r\n"), field(b"")),
    accept("RFC 9110 §5.5", "a blank value", get!("X: \t \r\n"), field(b"")),
    accept("RFC 9110 §5.1", "names have no case", get!("x: y\r\n"), field(b"y")),
    accept("RFC 9110 §5.5", "a colon in the value", get!("X: y:z\r\n"), field(b"y:z")),
    accept("RFC 9110 §5.5", "a tab in the value", get!("X: y\tz\r\n"), field(b"y\tz")),
    accept(
        "RFC 9110 §5.6.2",
        "any token",
        get!("A!#$%&'*+-.^_`|~1: y\r\n"),
        Accept { field: Some(("a!#$%&'*+-.^_`|~1", b"y")), ..GET },
    ),
    Case {
        name: "bytes beyond ASCII in a value",
        rfc: "RFC 9110 §5.5",
        raw: Raw::Bytes(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\xff\r\n\r\n"),
        expected: Expected::Accept(field(b"\xe9\xff")),
    },
    refuse(400, "RFC 9112 §5.1", "a space before the colon", get!("X : y\r\n")),
    refuse(400, "RFC 9112 §5.1", "a tab before the colon", get!("X\t: y\r\n")),
    refuse(
        400,
        "RFC 9112 §5.1",
        "a space before TE's colon",
        post!("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
    ),
    refuse(400, "RFC 9112 §5.2", "a folded value", get!("X: y\r\n z\r\n")),
    refuse(400, "RFC 9112 §5.2", "a value folded by a tab", get!("X: y\r\n\tz\r\n")),
    refuse(400, "RFC 9112 §5.2", "a fold of nothing", get!("X: y\r\n \r\n")),
    refuse(
        400,
        "RFC 9112 §2.2",
        "a space before the first field",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    ),
    refuse(400, "RFC 9112 §5", "no colon", get!("X\r\n")),
    refuse(400, "RFC 9112 §5", "no name", get!(": y\r\n")),
    refuse(400, "RFC 9110 §5.1", "a space in the name", get!("X Y: z\r\n")),
    refuse(400, "RFC 9110 §5.1", "NUL in the name", get!("X\0: z\r\n")),
    refuse(400, "RFC 9110 §5.1", "a slash in the name", get!("X/Y: z\r\n")),
    refuse(400, "RFC 9110 §5.1", "a quote in the name", get!("\"X\": z\r\n")),
    refuse(400, "RFC 9110 §5.1", "a letter beyond ASCII in the name", get!("É: z\r\n")),
    refuse(400, "RFC 9110 §5.1", "DEL in the name", get!("X\x7f: z\r\n")),
    refuse(400, "RFC 9110 §5.5", "NUL in the value", get!("X: y\0z\r\n")),
    refuse(400, "RFC 9110 §5.5", "a bell in the value", get!("X: \x07\r\n")),
    refuse(400, "RFC 9110 §5.5", "a vertical tab in the value", get!("X: \x0b\r\n")),
    refuse(400, "RFC 9110 §5.5", "DEL in the value", get!("X: \x7f\r\n")),
    refuse(400, "RFC 9112 §2.2", "CR in the value", get!("X: y\rz\r\n")),
    refuse(400, "RFC 9112 §2.2", "two CR before LF", get!("X: y\r\r\n")),
    refuse(400, "RFC 9112 §2.2", "LF ends a field", get!("X: y\nZ: z\r\n")),
    refuse(400, "RFC 9112 §2.2", "LF ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
    refuse(400, "RFC 9112 §2.2", "CR ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\rX"),
    // Host.
    accept("RFC 9112 §3.2", "an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", host("")),
    accept("RFC 9110 §7.2", "a port", "GET / HTTP/1.1\r\nHost: a:80\r\n\r\n", host("a:80")),
    accept(
        "RFC 9110 §7.2",
        "an IPv6 address",
        "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n",
        host("[::1]"),
    ),
    refuse(400, "RFC 9112 §3.2", "no Host", "GET / HTTP/1.1\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "no Host among others", "GET / HTTP/1.1\r\nX: y\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "two Hosts", get!("Host: b\r\n")),
    refuse(400, "RFC 9112 §3.2", "two equal Hosts", get!("Host: a\r\n")),
    refuse(
        400,
        "RFC 9112 §3.2",
        "two Hosts in 1.0",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    ),
    refuse(400, "RFC 9112 §3.2", "a space in Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "a list in Host", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "a path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "a user in Host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "a scheme in Host", "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "a bad port in Host", "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "half an address", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    refuse_bytes(
        400,
        "RFC 9112 §3.2",
        "a Host beyond ASCII",
        b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n",
    ),
    accept(
        "RFC 9110 §7.2",
        "an IPv4 address and a port",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:8888\r\n\r\n",
        host("127.0.0.1:8888"),
    ),
    accept("RFC 3986 §3.2.2", "a dot at the end", "GET / HTTP/1.1\r\nHost: a.\r\n\r\n", host("a.")),
    accept("RFC 9110 §7.2", "an empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", host("a:")),
    accept(
        "RFC 9110 §7.2",
        "Host after other fields",
        "GET / HTTP/1.1\r\nX: y\r\nHOST: a\r\n\r\n",
        field(b"y"),
    ),
    refuse(400, "RFC 9112 §3.2", "a query in Host", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "two ports in Host", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "a port too large", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "a signed port", "GET / HTTP/1.1\r\nHost: a:+1\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "brackets around a name", "GET / HTTP/1.1\r\nHost: [a]\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "a bare IPv6 address", "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "a quote in Host", "GET / HTTP/1.1\r\nHost: \"a\"\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "a backslash in Host", "GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "a bad escape in Host", "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n"),
    refuse(400, "RFC 9112 §3.2", "a bad Host in 1.0", "GET / HTTP/1.0\r\nHost: a b\r\n\r\n"),
    // Connection.
    accept(
        "RFC 9112 §9.3",
        "keep-alive and close in 1.1",
        get!("Connection: keep-alive, close\r\n"),
        CLOSE,
    ),
    accept("RFC 9112 §9.3", "keep-alive in 1.1", get!("Connection: keep-alive\r\n"), GET),
    accept("RFC 9110 §7.6.1", "an empty Connection", get!("Connection:\r\n"), GET),
    accept("RFC 9110 §7.6.1", "only commas", get!("Connection: , ,\r\n"), GET),
    accept(
        "RFC 9112 §9.3",
        "another option in 1.0",
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: x\r\n\r\n",
        CLOSE,
    ),
    accept(
        "RFC 9110 §7.8",
        "an upgrade that nobody takes up",
        get!("Connection: upgrade\r\nUpgrade: x/1\r\n"),
        GET,
    ),
    accept("RFC 9110 §7.8", "Upgrade without Connection", get!("Upgrade: x/1\r\n"), GET),
    accept("RFC 9110 §10.1.4", "TE", get!("TE: trailers\r\nConnection: TE\r\n"), GET),
    accept("RFC 9112 §9.6", "close", get!("Connection: close\r\n"), CLOSE),
    accept("RFC 9110 §7.6.1", "options have no case", get!("Connection: CLOSE\r\n"), CLOSE),
    accept("RFC 9110 §7.6.1", "close in a list", get!("Connection: x, ,close\t, y\r\n"), CLOSE),
    accept(
        "RFC 9110 §7.6.1",
        "close in a second line",
        get!("Connection: keep-alive\r\nConnection: close\r\n"),
        CLOSE,
    ),
    accept(
        "RFC 9110 §7.6.1",
        "an option that only begins like it",
        get!("Connection: closer\r\n"),
        GET,
    ),
    accept(
        "RFC 9112 §9.3",
        "keep-alive in 1.0",
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n",
        GET,
    ),
    accept(
        "RFC 9112 §9.3",
        "both in 1.0",
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n",
        CLOSE,
    ),
    // Expect. The body follows at once, as a client may send it.
    accept(
        "RFC 9110 §10.1.1",
        "an expectation",
        post!("Expect: 100-Continue\r\nContent-Length: 2\r\n", "ab"),
        Accept { body: b"ab", ..POST },
    ),
    accept(
        "RFC 9110 §10.1.1",
        "an expectation without a body",
        get!("Expect: 100-continue\r\n"),
        GET,
    ),
    accept(
        "RFC 9110 §10.1.1",
        "any expectation in 1.0 is ignored",
        "GET / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        CLOSE,
    ),
    refuse(417, "RFC 9110 §10.1.1", "another expectation", get!("Expect: 200-ok\r\n")),
    refuse(417, "RFC 9110 §10.1.1", "another one beside it", get!("Expect: 100-continue, b\r\n")),
    // Limits.
    Case {
        name: "a hundred fields",
        rfc: "RFC 6585 §5",
        raw: Raw::Repeat {
            before: "GET / HTTP/1.1\r\nHost: a\r\n",
            unit: "X: y\r\n",
            times: 99,
            after: "\r\n",
        },
        expected: Expected::Accept(GET),
    },
    Case {
        name: "a hundred and one fields",
        rfc: "RFC 6585 §5",
        raw: Raw::Repeat {
            before: "GET / HTTP/1.1\r\nHost: a\r\n",
            unit: "X: y\r\n",
            times: 100,
            after: "\r\n",
        },
        expected: Expected::Refuse(431),
    },
    Case {
        name: "a long value",
        rfc: "RFC 9110 §5.4",
        raw: Raw::Repeat {
            before: "GET / HTTP/1.1\r\nHost: a\r\nX: ",
            unit: "y",
            times: 60_000,
            after: "\r\n\r\n",
        },
        expected: Expected::Accept(GET),
    },
    Case {
        name: "a value beyond the limit",
        rfc: "RFC 6585 §5",
        raw: Raw::Repeat {
            before: "GET / HTTP/1.1\r\nHost: a\r\nX: ",
            unit: "y",
            times: 66_000,
            after: "\r\n\r\n",
        },
        expected: Expected::Refuse(431),
    },
    Case {
        name: "a name beyond the limit",
        rfc: "RFC 6585 §5",
        raw: Raw::Repeat {
            before: "GET / HTTP/1.1\r\nHost: a\r\n",
            unit: "x",
            times: 66_000,
            after: ": y\r\n\r\n",
        },
        expected: Expected::Refuse(431),
    },
];

const CLOSE: Accept = Accept { keep_alive: false, ..GET };

const fn field(value: &'static [u8]) -> Accept {
    Accept { field: Some(("x", value)), ..GET }
}

const fn host(host: &'static str) -> Accept {
    Accept { host: Some(host), ..GET }
}
