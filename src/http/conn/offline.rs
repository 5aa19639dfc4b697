//! A request and its response without a connection, for tests of handlers.
//!
//! The head of the request is parsed, and the response is encoded, by the code that serves
//! connections: a test sees what a client would.

use std::io;

use http::{Extensions, StatusCode};

use super::driver::new_parser;
use super::problems::{ClientFormat, ProblemWriter};
use super::request_info::{RequestInfo, accept_of_malformed};
use super::respond::PendingResponse;
use crate::config::Config;
use crate::http::codec::body::check_length;
use crate::http::codec::date::DateCache;
use crate::http::codec::reject::Reject;
use crate::http::codec::response::{
    Payload, Transfer, encode_chunk, encode_head, encode_last_chunk,
};
use crate::http::handler::Handler;
use crate::http::message::{Body, MemorySink, Request, Response, Standalone};
use crate::sync::unix_seconds;

/// A request for [`respond_offline`].
pub(crate) struct OfflineRequest {
    /// The head, as a client sends it.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Body,
    pub(crate) extensions: Extensions,
    pub(crate) standalone: Box<Standalone>,
}

/// The response of `handler`, as the server sends it with the default configuration. Its body has
/// at most `max` bytes. A panic of the handler, or of the source of the body, is not caught.
///
/// # Errors
/// Those of the source of the body; `InvalidData` if it has another length than it announced, and
/// `FileTooLarge` past `max`. `UnexpectedEof` if the head of the request is incomplete.
pub(crate) fn respond_offline<H>(
    handler: &H,
    offline: OfflineRequest,
    max: u64,
) -> io::Result<Vec<u8>>
where
    H: Handler + ?Sized,
{
    let config = Config::default();
    let parsed = match new_parser(&config).parse(&offline.head, &mut 0) {
        Ok(Some((_, head))) => check_length(&head.framing, &config.limits).map(|()| head),
        Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(reject) => Err(reject),
    };
    let head = match parsed {
        Ok(head) => head,
        Err(reject) => return send_reject(&offline.head, reject, max),
    };
    let info = RequestInfo::of(&head);
    let expects_continue = head.expects_continue;
    let mut request = head.into_request(offline.body);
    *request.extensions_mut() = offline.extensions;
    let mut request = Request::standalone(request, offline.standalone);
    let early = if expects_continue { handler.expect_continue(&request) } else { None };
    let response = early.unwrap_or_else(|| handler.handle(&mut request));
    let format =
        ClientFormat { writer: &ProblemWriter::default(), headers: Some(request.headers()) };
    PendingResponse::new(info, response, false, format).send_offline(max)
}

fn send_reject(head: &[u8], reject: Reject, max: u64) -> io::Result<Vec<u8>> {
    let info = RequestInfo::of_malformed(head);
    let accept = accept_of_malformed(head);
    let format = ClientFormat { writer: &ProblemWriter::default(), headers: Some(&accept) };
    PendingResponse::new(info, Response::from(reject), false, format).send_offline(max)
}

impl PendingResponse<'_> {
    /// The bytes of the response. An upgrade that the client offered ends with the head.
    fn send_offline(mut self, max: u64) -> io::Result<Vec<u8>> {
        let upgrades = self.upgrade.take().is_some() && self.accepts_upgrade();
        let length = if upgrades { None } else { self.body.length() };
        let payload = length.map_or(Payload::Unknown, Payload::Known);
        let transfer = if upgrades { Transfer::None } else { self.transfer(payload) };
        let mut bytes = Vec::new();
        let mut date = DateCache::new();
        let keep_alive = self.request.keep_alive && !self.is_tunnel();
        let head = self.head_line(payload, &transfer, keep_alive, date.at(unix_seconds()));
        encode_head(&mut bytes, &head);
        debug_assert!(!upgrades || self.parts.status == StatusCode::SWITCHING_PROTOCOLS);
        if transfer == Transfer::None {
            return Ok(bytes);
        }
        let mut sink = MemorySink::new(max);
        let trailers = self.body.write_to(&mut sink)?;
        let body = sink.into_bytes();
        if let Some(length) = length.filter(|length| *length != body.len() as u64) {
            let found = body.len();
            let text = format!("the body has {found} bytes, but its announced length is {length}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        if transfer == Transfer::Chunked {
            encode_chunk(&mut bytes, &body);
            encode_last_chunk(&mut bytes, trailers.as_ref());
        } else {
            bytes.extend_from_slice(&body);
        }
        Ok(bytes)
    }
}
