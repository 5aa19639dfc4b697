//! The sans-io core for benchmarks and fuzzing, which are other packages. No part of the interface:
//! it is there with the feature `bench` alone, and may change at any time.

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};

use crate::config::Limits;
use crate::http::codec::body::BodyDecoder;
use crate::http::codec::date::DateCache;
use crate::http::codec::request::{Framing, HeadParser};
use crate::http::codec::response::{HeadLine, Payload, encode_head, transfer};

pub use crate::pool::queue_bench::WorkQueue;

/// A worker's memory for heads.
#[derive(Debug)]
pub struct Core {
    parser: HeadParser,
    date: DateCache,
    out: Vec<u8>,
    answer: HeaderMap,
}

impl Default for Core {
    fn default() -> Self {
        let mut answer = HeaderMap::new();
        answer.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        Self {
            parser: HeadParser::new(&Limits::default()),
            date: DateCache::new(),
            out: Vec::new(),
            answer,
        }
    }
}

impl Core {
    /// Parses a head and gives its memory back; returns how long it is, if it is whole and good.
    pub fn parse(&mut self, input: &[u8]) -> Option<usize> {
        let (used, head) = self.parser.parse(input, &mut 0).ok()??;
        self.parser.recycle(head.headers);
        Some(used)
    }

    /// Encodes the head of a plain answer; returns how long it is.
    pub fn encode(&mut self) -> usize {
        self.out.clear();
        let (version, status) = (Version::HTTP_11, StatusCode::OK);
        let head = HeadLine {
            version,
            status,
            headers: &self.answer,
            transfer: &transfer(&Method::GET, version, status, Payload::Known(14)),
            declared_length: None,
            keep_alive: true,
            date: self.date.at(1_700_000_000),
        };
        encode_head(&mut self.out, &head);
        self.out.len()
    }
}

/// Parses `input` whole and again in two pieces, whose results have to agree.
///
/// # Panics
/// If they do not.
pub fn fuzz_head(input: &[u8]) {
    let Some((&cut, input)) = input.split_first() else { return };
    let limits = Limits { head: 1024, target: 256, fields: 8, ..Limits::default() };
    let mut parser = HeadParser::new(&limits);
    let whole = parser.parse(input, &mut 0);
    let mut scanned = 0;
    let first = &input[..usize::from(cut).min(input.len())];
    let parted = match parser.parse(first, &mut scanned) {
        Ok(None) => parser.parse(input, &mut scanned),
        early => early,
    };
    assert_eq!(format!("{whole:?}"), format!("{parted:?}"));
    if let Ok(Some((used, head))) = whole {
        assert!(input[..used].ends_with(b"\r\n\r\n"), "{used}");
        assert!(head.headers.len() <= 8 + 1, "{head:?}");
    }
}

/// Decodes `input` as a chunked body, whole and byte by byte, whose results have to agree.
///
/// # Panics
/// If they do not.
pub fn fuzz_body(input: &[u8]) {
    assert_eq!(decode(input, input.len().max(1)), decode(input, 1));
}

/// The body and how much of the input it took, or why it is none; and the trailers.
fn decode(input: &[u8], pieces: usize) -> String {
    let limits = Limits { body: 4096, trailers: 64, fields: 4, ..Limits::default() };
    let mut decoder = BodyDecoder::new(&Framing::Chunked, &limits);
    let (mut body, mut start, mut end) = (Vec::new(), 0, 0);
    while !decoder.is_done() {
        match decoder.decode(&input[start..end]) {
            Ok((0, _)) if end == input.len() => break,
            Ok((0, _)) => end = (end + pieces).min(input.len()),
            Ok((used, data)) => {
                body.extend_from_slice(&input[start..end][data]);
                start += used;
            }
            Err(reject) => return format!("{reject:?}"),
        }
    }
    assert!(body.len() <= 4096, "{}", body.len());
    format!("{body:?} {start} {:?}", decoder.take_trailers())
}
