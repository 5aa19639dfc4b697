//! The codec, for benchmarks and fuzzing, which are other packages. It exists only with `--cfg
//! millpond_bench` or `--cfg fuzzing`, is not part of the public interface, and may change at any
//! time.

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};

use crate::config::Limits;
use crate::http::codec::body::BodyDecoder;
use crate::http::codec::date::DateCache;
#[cfg(feature = "multipart")]
use crate::http::codec::multipart::{
    Boundary, MultipartEvent, MultipartLimits, MultipartParser, PartHead,
};
use crate::http::codec::request::{Framing, HeadParser};
use crate::http::codec::response::{HeadLine, Payload, encode_head, transfer};
use crate::pool::proxy_header::parse::parse;

pub use crate::pool::queue_bench::WorkQueue;
#[cfg(all(feature = "tls", fuzzing))]
pub use crate::tls::fuzz::FuzzedTls;

/// A parser and an encoder, with the memory that a worker reuses.
#[derive(Debug)]
pub struct Core {
    parser: HeadParser,
    date: DateCache,
    out: Vec<u8>,
    response: HeaderMap,
}

impl Default for Core {
    fn default() -> Self {
        let mut response = HeaderMap::new();
        response
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        Self {
            parser: HeadParser::new(&Limits::default()),
            date: DateCache::new(),
            out: Vec::new(),
            response,
        }
    }
}

impl Core {
    /// Parses a head, and recycles its memory. Returns its length if it is complete and valid.
    pub fn parse(&mut self, input: &[u8]) -> Option<usize> {
        let (used, head) = self.parser.parse(input, &mut 0).ok()??;
        self.parser.recycle(head.headers);
        Some(used)
    }

    /// Encodes the head of a plain response. Returns its length.
    pub fn encode(&mut self) -> usize {
        self.out.clear();
        let (version, status) = (Version::HTTP_11, StatusCode::OK);
        let head = HeadLine {
            version,
            status,
            headers: &self.response,
            transfer: &transfer(&Method::GET, version, status, Payload::Known(14)),
            declared_length: None,
            keep_alive: true,
            date: self.date.at(1_700_000_000),
        };
        encode_head(&mut self.out, &head);
        self.out.len()
    }
}

/// Parses `input` whole, and again in two pieces.
///
/// # Panics
/// If the results differ.
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

/// Parses the PROXY header at the beginning of `input`, and again of a part of it.
///
/// # Panics
/// If the part leads to a result that the whole contradicts.
pub fn fuzz_proxy_header(input: &[u8]) {
    let Some((&cut, input)) = input.split_first() else { return };
    let whole = parse(input);
    match parse(&input[..usize::from(cut).min(input.len())]) {
        Ok(None) => {}
        early => assert_eq!(early, whole),
    }
    if let Ok(Some(header)) = whole {
        assert_eq!(parse(&input[..header.length]), whole);
        assert_eq!(parse(&input[..header.length - 1]), Ok(None));
    }
}

/// Decodes `input` as a chunked body, whole and byte by byte.
///
/// # Panics
/// If the results differ.
pub fn fuzz_body(input: &[u8]) {
    assert_eq!(decode(input, input.len().max(1)), decode(input, 1));
}

/// The body, how much of the input it used, and the trailers; or why the body is rejected. The
/// input arrives in pieces of `piece_len` bytes.
fn decode(input: &[u8], piece_len: usize) -> String {
    let limits = Limits { body: 4096, trailers: 64, fields: 4, ..Limits::default() };
    let mut decoder = BodyDecoder::new(&Framing::Chunked, &limits);
    let (mut body, mut start, mut end) = (Vec::new(), 0, 0);
    while !decoder.is_done() {
        match decoder.decode(&input[start..end]) {
            Ok((0, _)) if end == input.len() => break,
            Ok((0, _)) => end = (end + piece_len).min(input.len()),
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

/// Parses `input` as a multipart body with the boundary `b`, whole and in pieces. The first byte is
/// the length of the pieces.
///
/// # Panics
/// If the results differ, or exceed a limit.
#[cfg(feature = "multipart")]
pub fn fuzz_multipart(input: &[u8]) {
    let Some((&piece_len, input)) = input.split_first() else { return };
    // The same bytes as a Content-Type: only a panic is a fault here.
    let _ = Boundary::from_content_type(input);
    let whole = parse_parts(input, input.len().max(1));
    assert_eq!(whole, parse_parts(input, 1));
    assert_eq!(whole, parse_parts(input, usize::from(piece_len).max(1)));
}

/// The parts, with their data as far as it was read, and how the body ended.
#[cfg(feature = "multipart")]
fn parse_parts(input: &[u8], piece_len: usize) -> (Vec<(PartHead, Vec<u8>)>, String) {
    let limits = MultipartLimits { parts: 4, part: 64, head: 256, fields: 3, ..Default::default() };
    let limits = MultipartLimits { total: 1024, name: 16, file_name: 16, ..limits };
    let boundary = Boundary::from_content_type(b"multipart/form-data; boundary=b");
    let boundary = boundary.expect("the boundary is valid");
    let mut parser = MultipartParser::new(&boundary, limits);
    let (mut parts, mut start, mut end) = (Vec::new(), 0, 0);
    let end = loop {
        let rest = &input[start..end];
        match parser.next(rest) {
            Ok((0, _)) if end == input.len() => break parser.finish(),
            Ok((0, _)) => {
                // What the parser leaves for later is shorter than the delimiter.
                assert!(rest.len() < b"\r\n--b".len(), "{}", rest.len());
                end = (end + piece_len).min(input.len());
            }
            Ok((used, event)) => {
                match event {
                    Some(MultipartEvent::Head(head)) => parts.push((head, Vec::new())),
                    Some(MultipartEvent::Data(data)) => {
                        let part = parts.last_mut().expect("data is in a part");
                        part.1.extend_from_slice(&rest[data]);
                    }
                    Some(MultipartEvent::PartEnd) | None => {}
                }
                start += used;
            }
            Err(fault) => break Err(fault),
        }
    };
    assert!(parts.len() <= 4 && parts.iter().all(|(_, data)| data.len() <= 64), "{parts:?}");
    (parts, format!("{end:?}"))
}
