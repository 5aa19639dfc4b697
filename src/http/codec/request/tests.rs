//! The parser at its edges: pieces, limits, memory. The rules are in `tests/it/http/table/`.

use http::{Method, Version};

use super::{Framing, Head, HeadParser};
use crate::config::Limits;
use crate::http::codec::reject::Reject;

fn parse(input: &[u8]) -> Result<Option<(usize, Head)>, Reject> {
    HeadParser::new(&Limits::default()).parse(input, &mut 0)
}

/// Feeds the input byte by byte, as from a client that sends it so.
fn parse_slowly(parser: &mut HeadParser, input: &[u8]) -> Result<Option<(usize, Head)>, Reject> {
    let mut scanned = 0;
    for end in 1..=input.len() {
        if let Some(done) = parser.parse(&input[..end], &mut scanned)? {
            assert_eq!(scanned, 0);
            return Ok(Some(done));
        }
    }
    Ok(None)
}

#[test]
fn a_whole_head_is_parsed_and_the_bytes_behind_it_are_not() {
    let input = b"GET /a?b HTTP/1.1\r\nHost: h\r\nX: \t y z\t \r\n\r\nrest";
    let (used, head) = parse(input).unwrap().unwrap();
    assert_eq!(&input[used..], b"rest");
    assert_eq!(head.method, Method::GET);
    assert_eq!(head.uri, "/a?b");
    assert_eq!(head.version, Version::HTTP_11);
    assert_eq!(head.headers["x"], "y z");
    assert_eq!(head.framing, Framing::None);
    assert!(head.keep_alive && !head.expects_continue && !head.upgrade);
}

#[test]
fn a_head_in_pieces_is_the_same_head() {
    let mut parser = HeadParser::new(&Limits::default());
    let input = b"\r\nPOST * HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(parse_slowly(&mut parser, input).unwrap_err(), Reject::TargetForm);
    let input = b"\r\nOPTIONS * HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    let (used, head) = parse_slowly(&mut parser, input).unwrap().unwrap();
    assert_eq!(&input[used..], b"abc");
    assert_eq!(head.framing, Framing::Length(3));
    assert_eq!(head.uri, "*");
}

#[test]
fn malformed_input_is_rejected_at_its_first_wrong_byte() {
    for (input, reject) in [
        (&b"\x16"[..], Reject::NotHttp),
        (b"SSH-2.0-x\r", Reject::RequestLine),
        (b"GET\0", Reject::NotHttp),
        (b"GET / HTTP/1.1\n", Reject::BareLf),
        (b"GET / HTTP/1.1\rX", Reject::BareCr),
        (b"GET / HTTP/2.0\r\n", Reject::VersionUnknown),
        (b"GET / HTTP/1.1\r\n ", Reject::Folded),
        (b"GET / HTTP/1.1\r\nA: b\r\n ", Reject::Folded),
        (b"GET / HTTP/1.1\r\nA ", Reject::SpaceBeforeColon),
    ] {
        assert_eq!(parse(input).unwrap_err(), reject, "{input:?}");
        assert!(parse(&input[..input.len() - 1]).unwrap().is_none(), "{input:?}");
    }
}

#[test]
fn a_head_may_be_as_long_as_the_limit_and_no_longer() {
    let limits = Limits { head: 200, target: 100, ..Limits::default() };
    let mut parser = HeadParser::new(&limits);
    let head = |length: usize| {
        let mut head = b"GET / HTTP/1.1\r\nHost: h\r\nX: ".to_vec();
        head.resize(length - 4, b'x');
        head.extend_from_slice(b"\r\n\r\n");
        head
    };
    assert!(parser.parse(&head(200), &mut 0).unwrap().is_some());
    assert!(parse_slowly(&mut parser, &head(200)).unwrap().is_some());
    assert_eq!(parser.parse(&head(201), &mut 0).unwrap_err(), Reject::HeadTooLarge);
    assert_eq!(parse_slowly(&mut parser, &head(201)).unwrap_err(), Reject::HeadTooLarge);
    let target = format!("GET /{} HTTP/1.1\r\n", "a".repeat(100));
    assert_eq!(parser.parse(target.as_bytes(), &mut 0).unwrap_err(), Reject::TargetTooLong);
    assert_eq!(parser.parse(&[b'a'; 300], &mut 0).unwrap_err(), Reject::HeadTooLarge);
}

#[test]
fn a_long_run_of_token_bytes_does_not_pass_for_a_method() {
    let mut parser = HeadParser::new(&Limits::default());
    assert!(parser.parse(&[b'a'; 8000], &mut 0).unwrap().is_none());
    assert_eq!(parser.parse(&[b'a'; 8001], &mut 0).unwrap_err(), Reject::NotHttp);
    let long = [[b'a'; 8000].as_slice(), b" / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    assert_eq!(parser.parse(&long, &mut 0).unwrap_err(), Reject::MethodTooLong);
}

#[test]
fn recycled_maps_are_empty() {
    let mut parser = HeadParser::new(&Limits::default());
    let (_, head) = parser.parse(b"GET / HTTP/1.0\r\nA: b\r\n\r\n", &mut 0).unwrap().unwrap();
    parser.recycle(head.headers);
    let (_, head) = parser.parse(b"GET / HTTP/1.0\r\nC: d\r\n\r\n", &mut 0).unwrap().unwrap();
    assert_eq!(head.headers.len(), 1);
    assert_eq!(head.headers["c"], "d");
}

#[test]
fn values_outlive_the_block_they_arrived_in() {
    let mut parser = HeadParser::new(&Limits::default());
    let mut kept = Vec::new();
    for n in 0..2000 {
        let input = format!("GET / HTTP/1.1\r\nHost: host-{n}\r\n\r\n");
        let (_, head) = parser.parse(input.as_bytes(), &mut 0).unwrap().unwrap();
        if n % 100 == 0 {
            kept.push((n, head.headers["host"].clone()));
        }
        parser.recycle(head.headers);
    }
    for (n, host) in kept {
        assert_eq!(host, format!("host-{n}"));
    }
}

#[test]
fn empty_members_of_expect_are_ignored() {
    for (fields, expects) in [
        ("Expect: 100-continue\r\n", true),
        ("Expect: ,\t, 100-continue,\r\n", true),
        ("Expect:\r\nExpect: 100-continue\r\n", true),
        ("Expect:\r\n", false),
        ("Expect: , ,\r\n", false),
    ] {
        let input = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n{fields}\r\n");
        let (_, head) = parse(input.as_bytes()).unwrap().unwrap();
        assert_eq!(head.expects_continue, expects, "{fields:?}");
    }
}
