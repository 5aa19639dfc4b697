//! The decoder at its edges: pieces, limits, trailers. The rules are in `tests/it/http/table/`.

use http::HeaderMap;

use super::{BodyDecoder, check_length};
use crate::config::Limits;
use crate::http::codec::reject::Reject;
use crate::http::codec::request::Framing;

/// What a body decodes to: its bytes, its trailers, and how much of the input is left.
type Decoded = Result<(Vec<u8>, Option<HeaderMap>, Option<usize>), Reject>;

/// Decodes a body that arrives in pieces of this size.
fn decode(framing: Framing, limits: &Limits, input: &[u8], pieces: usize) -> Decoded {
    let mut decoder = BodyDecoder::new(&framing, limits);
    let (mut body, mut start, mut end) = (Vec::new(), 0, 0);
    while !decoder.is_done() {
        let (used, data) = decoder.decode(&input[start..end])?;
        body.extend_from_slice(&input[start..end][data]);
        start += used;
        if used == 0 {
            if end == input.len() {
                return Ok((body, None, None));
            }
            end = (end + pieces).min(input.len());
        }
    }
    Ok((body, decoder.take_trailers(), Some(input.len() - start)))
}

fn chunked(input: &[u8]) -> Decoded {
    decode(Framing::Chunked, &Limits::default(), input, usize::MAX / 2)
}

#[test]
fn a_body_of_known_length_ends_with_its_last_byte() {
    let limits = Limits::default();
    for pieces in 1..6 {
        let (body, _, left) = decode(Framing::Length(5), &limits, b"hellorest", pieces).unwrap();
        assert_eq!(body, b"hello");
        assert!(left.is_some());
    }
    assert!(BodyDecoder::new(&Framing::None, &limits).is_done());
    assert!(BodyDecoder::new(&Framing::Length(0), &limits).is_done());
}

#[test]
fn chunks_and_trailers_are_read_at_any_split() {
    let input = b"5;a=\"\\\"\"\r\nhello\r\n1\r\n \r\n005\r\nworld\r\n0\r\nA: b\r\n\r\nrest";
    for pieces in 1..input.len() {
        let (body, trailers, _) =
            decode(Framing::Chunked, &Limits::default(), input, pieces).unwrap();
        assert_eq!(body, b"hello world");
        assert_eq!(trailers.unwrap()["a"], "b");
    }
    assert_eq!(chunked(input).unwrap().2, Some(4));
}

#[test]
fn data_may_be_read_without_the_decoder() {
    let mut decoder = BodyDecoder::new(&Framing::Chunked, &Limits::default());
    assert_eq!(decoder.next_data_len(), 0);
    assert_eq!(decoder.decode(b"a\r\n").unwrap(), (3, 3..3));
    assert_eq!(decoder.next_data_len(), 10);
    decoder.advance(4);
    assert_eq!(decoder.next_data_len(), 6);
    assert_eq!(decoder.decode(b"abcdef\r\n0\r\n\r\n").unwrap(), (6, 0..6));
    assert_eq!(decoder.decode(b"\r\n0\r\n\r\nX").unwrap(), (7, 7..7));
    assert!(decoder.is_done());
    assert_eq!(decoder.decode(b"X").unwrap(), (0, 0..0));
    let mut decoder = BodyDecoder::new(&Framing::Length(3), &Limits::default());
    decoder.advance(3);
    assert!(decoder.is_done());
}

#[test]
fn a_body_beyond_the_limit_is_refused_before_it_is_read() {
    let limits = Limits { body: 10, ..Limits::default() };
    assert_eq!(check_length(&Framing::Length(10), &limits), Ok(()));
    assert_eq!(check_length(&Framing::Length(11), &limits), Err(Reject::BodyTooLarge));
    for input in [&b"b\r\n"[..], b"5\r\nhello\r\n6\r\n", b"5\r\nhello\r\nffffffffffffffff\r\n"] {
        let result = decode(Framing::Chunked, &limits, input, 1);
        assert_eq!(result.unwrap_err(), Reject::BodyTooLarge);
    }
    assert!(decode(Framing::Chunked, &limits, b"a\r\n0123456789\r\n0\r\n\r\n", 1).is_ok());
}

#[test]
fn extensions_and_trailers_are_bounded() {
    let limits = Limits { trailers: 20, fields: 2, ..Limits::default() };
    let input = b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
    let result = decode(Framing::Chunked, &limits, input, 1);
    assert_eq!(result.unwrap_err(), Reject::ChunkExtensionTooLong);
    let many = b"1;a\r\nx\r\n".repeat(1000);
    let result = decode(Framing::Chunked, &limits, &many, 100);
    assert_eq!(result.unwrap_err(), Reject::ChunkExtensionTooLong);
    let fair = b"a;a=b\r\n0123456789\r\n".repeat(1000);
    assert_eq!(decode(Framing::Chunked, &limits, &fair, 100).unwrap().0.len(), 10_000);
    let input = b"0\r\nA: bbbbbbbbbbbbbbbbbbbbbbbbb\r\n\r\n";
    let result = decode(Framing::Chunked, &limits, input, 1);
    assert_eq!(result.unwrap_err(), Reject::TrailersTooLarge);
    let input = b"0\r\nA:\r\nB:\r\nC:\r\n\r\n";
    let result = decode(Framing::Chunked, &limits, input, 1);
    assert_eq!(result.unwrap_err(), Reject::TooManyFields);
}
