//! The codec against the table of requests, and against random input.

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use proptest::collection::vec;
use proptest::prelude::*;

use super::body::{BodyDecoder, check_length};
use super::reject::Reject;
use super::request::{Framing, Head, HeadParser};
use super::response::{
    HeadLine, Payload, Transfer, declared_length, encode_chunk, encode_head, encode_last_chunk,
    transfer,
};
use crate::config::Limits;
use table::{Accept, CASES, Case, Expected};

#[path = "../../../tests/it/support/response.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod response;
#[path = "../../../tests/it/http/table/mod.rs"]
mod table;

/// A request as the codec parsed it: the head, the body, and the length of both.
#[derive(Debug)]
struct ParsedRequest {
    head: Head,
    body: Vec<u8>,
    used: usize,
}

/// Parses one request from pieces that end at `cuts` and at the end of the input. `None`: it is
/// incomplete.
fn read(
    input: &[u8],
    cuts: impl Iterator<Item = usize>,
    limits: &Limits,
) -> Result<Option<ParsedRequest>, Reject> {
    let mut parser = HeadParser::new(limits);
    let mut scanned = 0;
    let mut reading: Option<(ParsedRequest, BodyDecoder)> = None;
    for end in cuts.chain([input.len()]) {
        if reading.is_none() {
            let Some((used, head)) = parser.parse(&input[..end], &mut scanned)? else { continue };
            check_length(&head.framing, limits)?;
            let decoder = BodyDecoder::new(&head.framing, limits);
            reading = Some((ParsedRequest { head, body: Vec::new(), used }, decoder));
        }
        if let Some((message, decoder)) = &mut reading {
            loop {
                let rest = &input[message.used..end];
                let (used, data) = decoder.decode(rest)?;
                message.body.extend_from_slice(&rest[data]);
                message.used += used;
                if used == 0 {
                    break;
                }
            }
            if decoder.is_done() {
                break;
            }
        }
    }
    Ok(reading.and_then(|(message, decoder)| decoder.is_done().then_some(message)))
}

/// The part of a result that must not depend on how the bytes were cut.
fn outline(result: &Result<Option<ParsedRequest>, Reject>) -> String {
    format!("{result:?}")
}

fn check(case: &Case, result: &Result<Option<ParsedRequest>, Reject>) {
    let Case { name, rfc, .. } = case;
    match (&case.expected, result) {
        (Expected::Refuse(status), Err(reject)) => {
            assert_eq!(reject.status(), *status, "{name} ({rfc}): {reject:?}");
        }
        (Expected::Accept(accept), Ok(Some(message))) => {
            check_message(accept, message, &format!("{name} ({rfc})"));
            assert_eq!(message.used, case.raw.bytes().len(), "{name}");
        }
        (Expected::Refuse(_) | Expected::Accept(_), result) => {
            panic!("{name} ({rfc}): {result:?}");
        }
    }
}

fn check_message(accept: &Accept, message: &ParsedRequest, case: &str) {
    let head = &message.head;
    assert_eq!(head.method.as_str(), accept.method, "{case}");
    if !accept.target.is_empty() {
        assert_eq!(head.uri.to_string(), accept.target, "{case}");
    }
    assert_eq!(
        head.headers.get("host").map(HeaderValue::as_bytes),
        accept.host.map(str::as_bytes),
        "{case}"
    );
    if let Some((name, value)) = accept.field {
        assert_eq!(head.headers[name].as_bytes(), value, "{case}");
    }
    assert_eq!(head.keep_alive, accept.keep_alive, "{case}");
    assert_eq!(message.body, accept.body, "{case}");
}

#[test]
fn every_request_of_the_table_has_its_outcome() {
    let mut count = 0;
    for case in CASES.iter().copied().flatten() {
        let bytes = case.raw.bytes();
        check(case, &read(&bytes, [].into_iter(), &Limits::default()));
        count += 1;
    }
    assert!(count >= 330, "{count}");
}

#[test]
fn every_request_of_the_table_has_the_same_outcome_when_cut_anywhere() {
    let limits = Limits::default();
    for case in CASES.iter().copied().flatten() {
        let bytes = case.raw.bytes();
        let whole = outline(&read(&bytes, [].into_iter(), &limits));
        let stride = 1 + bytes.len() / 256;
        for cut in (1..bytes.len()).step_by(stride) {
            let parted = outline(&read(&bytes, [cut].into_iter(), &limits));
            assert_eq!(parted, whole, "{} cut at {cut}", case.name);
        }
        let parted = outline(&read(&bytes, 1..bytes.len(), &limits));
        assert_eq!(parted, whole, "{} byte by byte", case.name);
    }
}

#[test]
fn no_two_cases_of_a_section_have_one_name() {
    let mut seen = std::collections::HashSet::new();
    for case in CASES.iter().copied().flatten() {
        assert!(case.rfc.starts_with("RFC ") && case.rfc.contains('§'), "{}", case.name);
        assert!(seen.insert((case.rfc, case.name)), "{} {}", case.rfc, case.name);
    }
}

/// Pieces of requests, good and bad, so that random inputs get past the first byte.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n",
        b"POST /a?b HTTP/1.1\r\n",
        b"GET http://a/ HTTP/1.0\r\n",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close, upgrade\r\n",
        b"Expect: 100-continue\r\n",
        b"X: y\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b":",
        b"3\r\nabc\r\n",
        b"0\r\n",
        b"1;a=\"b\"\r\n",
        b"a",
        b"\0",
    ];
    let piece = prop_oneof![
        8 => proptest::sample::select(pieces).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..4),
    ];
    let start = b"POST / HTTP/1.1\r\nHost: a\r\n".to_vec();
    (any::<bool>(), vec(piece, 0..12)).prop_map(move |(begun, pieces)| {
        let mut bytes = if begun { start.clone() } else { Vec::new() };
        bytes.extend(pieces.concat());
        bytes
    })
}

fn small_limits() -> Limits {
    Limits { head: 128, target: 20, fields: 3, body: 10, trailers: 12, ..Limits::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_result(
        bytes in fragments(),
        mut cuts in vec(any::<prop::sample::Index>(), 0..8),
        small in any::<bool>(),
    ) {
        let limits = if small { small_limits() } else { Limits::default() };
        let mut cuts: Vec<usize> = cuts.drain(..).map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let whole = outline(&read(&bytes, [].into_iter(), &limits));
        prop_assert_eq!(&outline(&read(&bytes, cuts.into_iter(), &limits)), &whole);
        prop_assert_eq!(&outline(&read(&bytes, 0..bytes.len(), &limits)), &whole);
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes, 1..bytes.len().max(1), &Limits::default());
        let mut decoder = BodyDecoder::new(&Framing::Chunked, &Limits::default());
        let mut rest = &bytes[..];
        while let Ok((used @ 1.., data)) = decoder.decode(rest) {
            prop_assert!(data.end <= used);
            rest = &rest[used..];
        }
    }

    #[test]
    fn a_chunked_body_decodes_to_what_was_encoded(
        chunks in vec(vec(any::<u8>(), 1..40), 0..8),
        trailer in proptest::option::of("[a-z ]{0,20}"),
    ) {
        let mut out = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            encode_chunk(&mut out, chunk);
        }
        let mut trailers = HeaderMap::new();
        if let Some(trailer) = &trailer {
            trailers.insert("x-trailer", HeaderValue::from_str(trailer).unwrap());
        }
        encode_last_chunk(&mut out, Some(&trailers));
        let message = read(&out, 0..out.len(), &Limits::default()).unwrap().unwrap();
        prop_assert_eq!(message.body, chunks.concat());
        prop_assert_eq!(message.used, out.len());
    }

    #[test]
    fn a_response_decodes_to_what_was_encoded(
        status in (200_u16..600),
        fields in vec(("x-[a-z]{1,8}", "([!-~]([ -~\u{80}-\u{ff}]{0,20}[!-~])?)?"), 0..10),
        pieces in vec(vec(any::<u8>(), 1..40), 0..6),
        known in any::<bool>(),
        old in any::<bool>(),
        head_only in any::<bool>(),
        keep_alive in any::<bool>(),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let body = pieces.concat();
        let method = if head_only { Method::HEAD } else { Method::GET };
        let version = if old { Version::HTTP_10 } else { Version::HTTP_11 };
        let status = StatusCode::from_u16(status).unwrap();
        let payload = if known { Payload::Known(body.len() as u64) } else { Payload::Unknown };
        let transfer = transfer(&method, version, status, payload);
        let mut out = Vec::new();
        encode_head(&mut out, &HeadLine {
            version,
            status,
            headers: &headers,
            transfer: &transfer,
            declared_length: declared_length(&method, status, payload, &headers),
            keep_alive,
            date: b"Thu, 01 Jan 1970 00:00:00 GMT",
        });
        match transfer {
            Transfer::None => {}
            Transfer::Length(_) | Transfer::UntilClose => out.extend_from_slice(&body),
            Transfer::Chunked => {
                for piece in &pieces {
                    encode_chunk(&mut out, piece);
                }
                encode_last_chunk(&mut out, Some(&headers));
            }
        }
        let mut rest = &out[..];
        let read = response::read(&mut rest, head_only).unwrap();
        prop_assert!(rest.is_empty(), "{:?}", rest);
        prop_assert_eq!(read.status, status.as_u16());
        prop_assert_eq!(read.reason.as_str(), status.canonical_reason().unwrap_or_default());
        let bodiless = head_only || matches!(status.as_u16(), 204 | 205 | 304);
        prop_assert_eq!(&read.body, if bodiless { &[][..] } else { &body[..] });
        let sent = |(name, value): (&http::HeaderName, &HeaderValue)| {
            (name.to_string(), value.as_bytes().to_vec())
        };
        let all: Vec<_> = headers.iter().map(sent).collect();
        let own: Vec<_> =
            read.fields.iter().filter(|(name, _)| name.starts_with("x-")).cloned().collect();
        prop_assert_eq!(&own, &all);
        if transfer == Transfer::Chunked {
            prop_assert_eq!(&read.trailers, &all);
        }
        let stays = keep_alive && transfer != Transfer::UntilClose;
        prop_assert_eq!(read.has_connection_option("close"), !stays);
        prop_assert_eq!(read.has_connection_option("keep-alive"), stays && old);
    }

    #[test]
    fn the_fields_of_a_response_decode_to_what_was_encoded(
        fields in vec(("x-[a-z]{1,8}", "[!-~]([ -~\u{80}-\u{ff}]{0,20}[!-~])?"), 0..10),
        length in any::<u64>(),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let mut out = Vec::new();
        encode_head(&mut out, &HeadLine {
            version: Version::HTTP_11,
            status: StatusCode::OK,
            headers: &headers,
            transfer: &Transfer::Length(length),
            declared_length: None,
            keep_alive: true,
            date: b"Thu, 01 Jan 1970 00:00:00 GMT",
        });
        // The fields of responses and requests have one grammar: only the first line differs.
        let fields = out.strip_prefix(b"HTTP/1.1 200 OK\r\n").unwrap();
        let request = [b"GET / HTTP/1.1\r\nHost: a\r\n", fields].concat();
        let (used, head) =
            HeadParser::new(&Limits::default()).parse(&request, &mut 0).unwrap().unwrap();
        prop_assert_eq!(used, request.len());
        prop_assert_eq!(head.framing, Framing::Length(length));
        for name in headers.keys() {
            let values: Vec<_> = headers.get_all(name).iter().collect();
            prop_assert_eq!(head.headers.get_all(name).iter().collect::<Vec<_>>(), values);
        }
        prop_assert_eq!(head.headers.len(), headers.len() + 3);
    }
}
