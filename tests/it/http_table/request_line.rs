//! The request line: what begins a request, methods, targets, versions.

use super::{Accept, Case, Expected, GET, Raw, accept, line, refuse, refuse_bytes};

pub(crate) static CASES: &[Case] = &[
    // What comes before and between.
    accept("RFC 9112 §3", "a plain request", line!("GET / HTTP/1.1"), GET),
    accept("RFC 9112 §2.2", "one empty line before", line!("\r\nGET / HTTP/1.1"), GET),
    refuse(400, "RFC 9112 §2.2", "two empty lines before", line!("\r\n\r\nGET / HTTP/1.1")),
    refuse(400, "RFC 9112 §2.2", "a bare LF before", line!("\nGET / HTTP/1.1")),
    refuse(400, "RFC 9112 §2.2", "a bare CR before", line!("\rGET / HTTP/1.1")),
    refuse(400, "RFC 9112 §3", "a space before", line!(" GET / HTTP/1.1")),
    refuse(400, "RFC 9112 §3", "a tab before", line!("\tGET / HTTP/1.1")),
    refuse(400, "RFC 9112 §2.2", "LF alone ends the line", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
    refuse(400, "RFC 9112 §2.2", "LF alone ends every line", "GET / HTTP/1.1\nHost: a\n\n"),
    refuse(400, "RFC 9112 §2.2", "CR alone ends the line", "GET / HTTP/1.1\rHost: a\r\n\r\n"),
    refuse(400, "RFC 9112 §2.2", "CR in the line", line!("GET /\r HTTP/1.1")),
    refuse(400, "RFC 9112 §3", "two spaces after the method", line!("GET  / HTTP/1.1")),
    refuse(400, "RFC 9112 §3", "two spaces after the target", line!("GET /  HTTP/1.1")),
    refuse(400, "RFC 9112 §3", "a space at the end", line!("GET / HTTP/1.1 ")),
    refuse(400, "RFC 9112 §3", "a tab between", line!("GET\t/\tHTTP/1.1")),
    refuse(400, "RFC 9112 §3", "a tab after the target", line!("GET /\tHTTP/1.1")),
    refuse(400, "RFC 9112 §3", "a form feed between", line!("GET\x0c/ HTTP/1.1")),
    refuse(400, "RFC 9112 §3", "only a method", line!("GET")),
    refuse(400, "RFC 9112 §3", "a method and a space", line!("GET ")),
    refuse(400, "RFC 9112 §3", "no version, as in HTTP/0.9", line!("GET /")),
    refuse(400, "RFC 9112 §3", "no version but its space", line!("GET / ")),
    refuse(400, "RFC 9112 §3", "no target", line!("GET HTTP/1.1")),
    refuse(400, "RFC 9112 §3", "an empty target", line!("GET  HTTP/1.1")),
    refuse(400, "RFC 9112 §3", "four words", line!("GET / b HTTP/1.1")),
    // What is no HTTP at all.
    refuse_bytes(400, "RFC 9112 §3", "a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03"),
    refuse_bytes(400, "RFC 9112 §3", "a SOCKS greeting", b"\x05\x01\x00"),
    refuse_bytes(400, "RFC 9112 §3", "zeros", b"\0\0\0\0\r\n\r\n"),
    refuse(400, "RFC 9112 §3", "an SSH greeting", "SSH-2.0-OpenSSH_9.9\r\n"),
    refuse(400, "RFC 9112 §3", "a status line", line!("HTTP/1.1 200 OK")),
    refuse(505, "RFC 9113 §3.4", "an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    // Methods.
    accept("RFC 9110 §9.1", "a method of one's own", line!("BREW / HTTP/1.1"), method("BREW")),
    accept("RFC 9110 §9.1", "methods have case", line!("get / HTTP/1.1"), method("get")),
    accept(
        "RFC 9110 §5.6.2",
        "any token as a method",
        line!("A!#$%&'*+-.^_`|~1 / HTTP/1.1"),
        method("A!#$%&'*+-.^_`|~1"),
    ),
    accept("RFC 9110 §9.3.2", "HEAD", line!("HEAD / HTTP/1.1"), method("HEAD")),
    accept("RFC 9110 §9.3.8", "TRACE", line!("TRACE / HTTP/1.1"), method("TRACE")),
    refuse(400, "RFC 9110 §9.1", "a method in parentheses", line!("(GET) / HTTP/1.1")),
    refuse(400, "RFC 9110 §9.1", "a slash in the method", line!("GE/T / HTTP/1.1")),
    refuse(400, "RFC 9110 §9.1", "NUL in the method", line!("G\0ET / HTTP/1.1")),
    refuse(400, "RFC 9110 §9.1", "a letter beyond ASCII", line!("GÉT / HTTP/1.1")),
    Case {
        name: "an endless method",
        rfc: "RFC 9112 §3",
        raw: Raw::Repeat { before: "", unit: "A", times: 65, after: line!(" / HTTP/1.1") },
        expected: Expected::Refuse(501),
    },
    // Versions.
    accept("RFC 9110 §2.5", "a higher minor version", line!("GET / HTTP/1.9"), GET),
    accept(
        "RFC 9112 §9.3",
        "HTTP/1.0",
        line!("GET / HTTP/1.0"),
        Accept { keep_alive: false, ..GET },
    ),
    accept(
        "RFC 9112 §3.2",
        "HTTP/1.0 without Host",
        "GET / HTTP/1.0\r\n\r\n",
        Accept { host: None, keep_alive: false, ..GET },
    ),
    refuse(505, "RFC 9110 §15.6.6", "HTTP/2.0", line!("GET / HTTP/2.0")),
    refuse(505, "RFC 9110 §15.6.6", "HTTP/3.1", line!("GET / HTTP/3.1")),
    refuse(505, "RFC 9110 §15.6.6", "HTTP/0.9 by name", line!("GET / HTTP/0.9")),
    refuse(400, "RFC 9112 §2.3", "two digits", line!("GET / HTTP/1.10")),
    refuse(400, "RFC 9112 §2.3", "two digits before the dot", line!("GET / HTTP/11.1")),
    refuse(400, "RFC 9112 §2.3", "no minor version", line!("GET / HTTP/1")),
    refuse(400, "RFC 9112 §2.3", "no digits", line!("GET / HTTP/x.y")),
    refuse(400, "RFC 9112 §2.3", "a comma", line!("GET / HTTP/1,1")),
    refuse(400, "RFC 9112 §2.3", "small letters", line!("GET / http/1.1")),
    refuse(400, "RFC 9112 §2.3", "another name", line!("GET / HTTQ/1.1")),
    refuse(400, "RFC 9112 §2.3", "NUL in the version", line!("GET / HTTP/1.\0")),
    refuse(400, "RFC 9112 §2.3", "a space in the version", line!("GET / HTTP/ 1.1")),
    refuse(400, "RFC 9112 §2.3", "bytes after the version", line!("GET / HTTP/1.1x")),
];

pub(crate) static TARGETS: &[Case] = &[
    // Origin-form.
    accept("RFC 9112 §3.2.1", "a path", line!("GET /a/b HTTP/1.1"), target("/a/b")),
    accept("RFC 9112 §3.2.1", "a query", line!("GET /a?b=c&d HTTP/1.1"), target("/a?b=c&d")),
    accept("RFC 9112 §3.2.1", "an empty query", line!("GET /? HTTP/1.1"), target("/?")),
    accept("RFC 9112 §3.2.1", "two slashes", line!("GET //a/b HTTP/1.1"), target("//a/b")),
    accept(
        "RFC 9112 §3.2.1",
        "a URI as path",
        line!("GET /http://b/ HTTP/1.1"),
        target("/http://b/"),
    ),
    accept(
        "RFC 3986 §2.1",
        "escapes are left alone",
        line!("GET /%00%2f%zz HTTP/1.1"),
        target("/%00%2f%zz"),
    ),
    accept(
        "RFC 3986 §2.2",
        "delimiters",
        line!("GET /a;b=c,d:e@f!$'()*+~ HTTP/1.1"),
        target("/a;b=c,d:e@f!$'()*+~"),
    ),
    accept("RFC 3986 §3.3", "dots are left alone", line!("GET /../a HTTP/1.1"), target("/../a")),
    refuse(400, "RFC 9112 §3.2", "a fragment", line!("GET /a#b HTTP/1.1")),
    refuse(400, "RFC 9112 §3.2", "a fragment alone", line!("GET # HTTP/1.1")),
    refuse(400, "RFC 9112 §3.2", "a path without a slash", line!("GET a HTTP/1.1")),
    refuse(400, "RFC 9112 §3.2", "a query alone", line!("GET ?a HTTP/1.1")),
    refuse(400, "RFC 3986 §2", "a letter beyond ASCII", line!("GET /é HTTP/1.1")),
    refuse_bytes(400, "RFC 3986 §2", "a byte of no text", b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"),
    refuse(400, "RFC 3986 §2", "NUL in the target", line!("GET /\0 HTTP/1.1")),
    refuse(400, "RFC 3986 §2", "DEL in the target", line!("GET /\x7f HTTP/1.1")),
    refuse(400, "RFC 3986 §2", "ESC in the target", line!("GET /\x1b HTTP/1.1")),
    Case {
        name: "a target of just the limit",
        rfc: "RFC 9110 §15.5.15",
        raw: Raw::Repeat { before: "GET /", unit: "a", times: 16383, after: line!(" HTTP/1.1") },
        expected: Expected::Accept(Accept { target: "", ..GET }),
    },
    Case {
        name: "a target beyond the limit",
        rfc: "RFC 9110 §15.5.15",
        raw: Raw::Repeat { before: "GET /", unit: "a", times: 16384, after: line!(" HTTP/1.1") },
        expected: Expected::Refuse(414),
    },
    Case {
        name: "a target that does not end",
        rfc: "RFC 9110 §15.5.15",
        raw: Raw::Repeat { before: "GET /", unit: "a", times: 70_000, after: "" },
        expected: Expected::Refuse(414),
    },
    // Absolute-form.
    accept(
        "RFC 9112 §3.2.2",
        "absolute",
        line!("GET http://b/c?d HTTP/1.1"),
        absolute("http://b/c?d", "b"),
    ),
    accept(
        "RFC 9112 §3.2.2",
        "a port",
        line!("GET http://b:81/ HTTP/1.1"),
        absolute("http://b:81/", "b:81"),
    ),
    accept(
        "RFC 9112 §3.2.2",
        "no path",
        line!("GET http://b HTTP/1.1"),
        absolute("http://b/", "b"),
    ),
    accept(
        "RFC 9112 §3.2.2",
        "https",
        line!("GET https://b/ HTTP/1.1"),
        absolute("https://b/", "b"),
    ),
    accept(
        "RFC 3986 §3.1",
        "schemes have no case",
        line!("GET HTTP://b/ HTTP/1.1"),
        absolute("http://b/", "b"),
    ),
    accept(
        "RFC 3986 §3.2.2",
        "an IPv6 address",
        line!("GET http://[::1]:81/ HTTP/1.1"),
        absolute("http://[::1]:81/", "[::1]:81"),
    ),
    accept("RFC 9112 §3.2.2", "absolute in 1.0 without Host", "GET http://b/ HTTP/1.0\r\n\r\n", {
        Accept { keep_alive: false, ..absolute("http://b/", "b") }
    }),
    refuse(400, "RFC 9112 §3.2", "absolute without Host", "GET http://b/ HTTP/1.1\r\n\r\n"),
    refuse(
        400,
        "RFC 9112 §3.2",
        "absolute with a bad Host",
        "GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n",
    ),
    refuse(400, "RFC 9110 §4.2.4", "a user", line!("GET http://u@b/ HTTP/1.1")),
    refuse(400, "RFC 9110 §4.2.4", "a password", line!("GET http://u:p@b/ HTTP/1.1")),
    refuse(400, "RFC 9110 §4.2.1", "no host", line!("GET http:///c HTTP/1.1")),
    refuse(400, "RFC 9110 §4.2.1", "a port but no host", line!("GET http://:80/ HTTP/1.1")),
    refuse(400, "RFC 3986 §3.2.3", "a port beyond 16 bits", line!("GET http://b:65536/ HTTP/1.1")),
    refuse(400, "RFC 9112 §3.2.2", "another scheme", line!("GET ftp://b/ HTTP/1.1")),
    refuse(400, "RFC 9112 §3.2.2", "half a scheme", line!("GET http:/b HTTP/1.1")),
    refuse(400, "RFC 9112 §3.2.2", "absolute with a fragment", line!("GET http://b/#c HTTP/1.1")),
    // Authority-form and asterisk-form.
    accept(
        "RFC 9112 §3.2.3",
        "CONNECT",
        line!("CONNECT b:443 HTTP/1.1"),
        Accept { method: "CONNECT", target: "b:443", ..GET },
    ),
    refuse(400, "RFC 9110 §9.3.6", "CONNECT without a port", line!("CONNECT b HTTP/1.1")),
    refuse(400, "RFC 9110 §9.3.6", "CONNECT to an empty port", line!("CONNECT b: HTTP/1.1")),
    refuse(400, "RFC 9110 §9.3.6", "CONNECT to port 0", line!("CONNECT b:0 HTTP/1.1")),
    refuse(400, "RFC 9110 §9.3.6", "CONNECT to a bad port", line!("CONNECT b:x HTTP/1.1")),
    refuse(400, "RFC 9112 §3.2.3", "CONNECT to a path", line!("CONNECT / HTTP/1.1")),
    refuse(400, "RFC 9112 §3.2.3", "GET of an authority", line!("GET b:80 HTTP/1.1")),
    accept(
        "RFC 9112 §3.2.4",
        "OPTIONS *",
        line!("OPTIONS * HTTP/1.1"),
        Accept { method: "OPTIONS", target: "*", ..GET },
    ),
    accept("RFC 9110 §9.3.7", "OPTIONS of a path", line!("OPTIONS / HTTP/1.1"), method("OPTIONS")),
    refuse(400, "RFC 9112 §3.2.4", "GET *", line!("GET * HTTP/1.1")),
    refuse(400, "RFC 9112 §3.2.4", "OPTIONS **", line!("OPTIONS ** HTTP/1.1")),
];

const fn method(method: &'static str) -> Accept {
    Accept { method, ..GET }
}

const fn target(target: &'static str) -> Accept {
    Accept { target, ..GET }
}

const fn absolute(target: &'static str, host: &'static str) -> Accept {
    Accept { target, host: Some(host), ..GET }
}
