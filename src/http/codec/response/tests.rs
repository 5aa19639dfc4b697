//! How responses are framed and encoded, from tables.

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};

use super::*;

const DATE: &[u8; 29] = b"Thu, 01 Jan 1970 00:00:00 GMT";

/// The field lines of a response, without Date, joined by a bar.
fn fields(head: &HeadLine<'_>) -> String {
    let mut out = Vec::new();
    encode_head(&mut out, head);
    let text = String::from_utf8(out).unwrap();
    let (_, fields) = text.strip_suffix("\r\n\r\n").unwrap().split_once("\r\n").unwrap();
    let lines = fields.split("\r\n").filter(|line| !line.starts_with("Date: "));
    lines.collect::<Vec<_>>().join("|")
}

fn plain<'a>(headers: &'a HeaderMap, transfer: &'a Transfer) -> HeadLine<'a> {
    let (version, status) = (Version::HTTP_11, StatusCode::OK);
    HeadLine {
        version,
        status,
        headers,
        transfer,
        declared_length: None,
        keep_alive: true,
        date: DATE,
    }
}

#[test]
fn the_framing_follows_from_method_version_and_status() {
    use Payload::{Known, Unknown};
    const OLD: Version = Version::HTTP_10;
    const NEW: Version = Version::HTTP_11;
    for (method, version, status, payload, expected) in [
        (Method::GET, NEW, 200, Known(5), Transfer::Length(5)),
        (Method::GET, NEW, 200, Known(0), Transfer::Length(0)),
        (Method::GET, NEW, 200, Unknown, Transfer::Chunked),
        (Method::GET, OLD, 200, Unknown, Transfer::UntilClose),
        (Method::GET, OLD, 200, Known(5), Transfer::Length(5)),
        (Method::HEAD, NEW, 200, Known(5), Transfer::None),
        (Method::HEAD, OLD, 200, Unknown, Transfer::None),
        (Method::GET, NEW, 101, Unknown, Transfer::None),
        (Method::GET, NEW, 204, Known(5), Transfer::None),
        (Method::GET, NEW, 205, Known(5), Transfer::None),
        (Method::GET, NEW, 304, Unknown, Transfer::None),
        (Method::GET, OLD, 304, Unknown, Transfer::None),
        (Method::CONNECT, NEW, 200, Known(5), Transfer::None),
        (Method::CONNECT, NEW, 501, Known(5), Transfer::Length(5)),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let transfer = transfer(&method, version, status, payload);
        assert_eq!(transfer, expected, "{method} {version:?} {status} {payload:?}");
    }
}

#[test]
fn a_length_is_declared_only_where_it_is_that_of_get() {
    use Payload::{Known, Unknown};
    let none = HeaderMap::new();
    let mut sized = HeaderMap::new();
    sized.insert(header::CONTENT_LENGTH, HeaderValue::from_static("7"));
    for (method, status, payload, headers, expected) in [
        (Method::HEAD, 200, Known(5), &none, Some(5)),
        (Method::HEAD, 200, Known(0), &none, None),
        (Method::HEAD, 200, Known(0), &sized, Some(7)),
        (Method::HEAD, 200, Unknown, &none, None),
        (Method::GET, 304, Known(0), &none, None),
        (Method::GET, 304, Known(0), &sized, Some(7)),
        (Method::GET, 200, Known(5), &sized, None),
        (Method::CONNECT, 200, Known(5), &sized, None),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(
            declared_length(&method, status, payload, headers),
            expected,
            "{method} {status}"
        );
    }
}

#[test]
fn the_framing_fields_follow_from_the_status() {
    let none = HeaderMap::new();
    for (status, transfer, declared, expected) in [
        (200, Transfer::Length(0), None, "Content-Length: 0"),
        (200, Transfer::Length(u64::MAX), None, "Content-Length: 18446744073709551615"),
        (200, Transfer::Chunked, None, "Transfer-Encoding: chunked"),
        (200, Transfer::UntilClose, None, "Connection: close"),
        (200, Transfer::None, Some(5), "Content-Length: 5"),
        (304, Transfer::None, Some(5), "Content-Length: 5"),
        (304, Transfer::None, None, ""),
        (204, Transfer::None, Some(5), ""),
        (205, Transfer::None, Some(5), "Content-Length: 0"),
        (101, Transfer::None, Some(5), "Connection: upgrade"),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let head = HeadLine { status, declared_length: declared, ..plain(&none, &transfer) };
        assert_eq!(fields(&head), expected, "{status} {transfer:?}");
    }
}

#[test]
fn connection_is_sent_where_the_version_has_another_default() {
    let none = HeaderMap::new();
    let mut upgrade = HeaderMap::new();
    upgrade.insert(header::UPGRADE, HeaderValue::from_static("x"));
    for (version, keep_alive, headers, expected) in [
        (Version::HTTP_11, true, &none, ""),
        (Version::HTTP_11, false, &none, "Connection: close"),
        (Version::HTTP_10, true, &none, "Connection: keep-alive"),
        (Version::HTTP_10, false, &none, "Connection: close"),
        (Version::HTTP_11, true, &upgrade, "Connection: upgrade|upgrade: x"),
        (Version::HTTP_11, false, &upgrade, "Connection: upgrade, close|upgrade: x"),
    ] {
        let head = HeadLine { version, keep_alive, ..plain(headers, &Transfer::None) };
        assert_eq!(fields(&head), expected);
    }
}

#[test]
fn fields_that_only_the_server_sets_are_left_out_of_the_handlers() {
    let mut headers = HeaderMap::new();
    for name in ["content-length", "transfer-encoding", "connection", "date", "keep-alive"] {
        headers.insert(name, HeaderValue::from_static("1"));
    }
    headers.append("set-cookie", HeaderValue::from_static("a=b"));
    headers.append("set-cookie", HeaderValue::from_static("c=d"));
    let head = plain(&headers, &Transfer::Length(3));
    assert_eq!(fields(&head), "Content-Length: 3|set-cookie: a=b|set-cookie: c=d");
}

#[test]
fn a_status_without_a_phrase_keeps_its_space() {
    let none = HeaderMap::new();
    let mut out = Vec::new();
    let status = StatusCode::from_u16(599).unwrap();
    encode_head(&mut out, &HeadLine { status, ..plain(&none, &Transfer::None) });
    assert!(out.starts_with(b"HTTP/1.1 599 \r\n"));
}

#[test]
fn forbidden_trailers_are_left_out() {
    let mut trailers = HeaderMap::new();
    trailers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("1"));
    trailers.insert(header::SET_COOKIE, HeaderValue::from_static("a=b"));
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    let mut out = Vec::new();
    encode_last_chunk(&mut out, Some(&trailers));
    assert_eq!(out, b"0\r\nx-sum: 1\r\n\r\n");
    out.clear();
    encode_last_chunk(&mut out, None);
    assert_eq!(out, b"0\r\n\r\n");
    out.clear();
    encode_chunk(&mut out, &[b'x'; 0xabc]);
    assert_eq!(out, [b"abc\r\n", &[b'x'; 0xabc][..], b"\r\n"].concat());
    out.clear();
    encode_chunk(&mut out, b"");
    assert!(out.is_empty(), "an empty chunk would end the body");
}
