//! Sending the response to one request: its framing, keep-alive or close, and each kind of body.

use std::io::{self, Read, Write};
use std::ops::ControlFlow::{self, Break};
use std::panic::{AssertUnwindSafe, catch_unwind};

use http::{Method, StatusCode};

use super::body_sink::BodySink;
use super::exchange::{Exchange, ExchangeCell};
use super::problems::ClientFormat;
use super::request_info::RequestInfo;
use super::send::COPIED_BODY_MAX;
use crate::close::CloseReason;
use crate::http::codec::response::{
    HeadLine, Payload, Transfer, declared_length, encode_head, transfer,
};
use crate::http::message::{Body, BodyKind, BodyWriter, Response, UpgradeHandler};
use crate::pool::{Outcome, TurnContext};

/// A response that has not been sent yet.
pub(super) struct PendingResponse<'a> {
    pub(super) request: RequestInfo,
    pub(super) parts: http::response::Parts,
    pub(super) body: Body,
    pub(super) upgrade: Option<UpgradeHandler>,
    /// Why the connection closes after the response, if it must.
    pub(super) close_reason: Option<CloseReason>,
    /// Whether the handler has taken the request's body: the body of the response may read from it.
    body_taken: bool,
    /// How a problem is written for the client.
    format: ClientFormat<'a>,
}

impl<'a> PendingResponse<'a> {
    pub(super) fn new(
        request: RequestInfo,
        mut response: Response,
        body_taken: bool,
        format: ClientFormat<'a>,
    ) -> Self {
        format.apply(&mut response);
        let (parts, body, upgrade) = response.into_split();
        let close_reason = None;
        let mut pending = Self { request, parts, body, upgrade, close_reason, body_taken, format };
        let informational = pending.parts.status.is_informational();
        if informational && pending.upgrade.is_none() {
            log::error!("a handler returned {}, which is not a final status", pending.parts.status);
            pending.replace(Response::error(StatusCode::INTERNAL_SERVER_ERROR));
        }
        pending
    }

    pub(super) fn body_mut(&mut self) -> &mut BodyKind {
        &mut self.body.0
    }

    /// Closes the connection after the response.
    pub(super) fn close_because(&mut self, reason: CloseReason) {
        self.close_reason = Some(reason);
    }

    /// Replaces the response by another one to the same request.
    pub(super) fn replace(&mut self, mut response: Response) {
        self.format.apply(&mut response);
        (self.parts, self.body, self.upgrade) = response.into_split();
    }

    /// Sends the response. `Continue`: the connection is kept, and can read the next request.
    pub(super) fn send(
        mut self,
        cell: &ExchangeCell,
        turn: &mut TurnContext<'_>,
        date: &[u8; 29],
    ) -> ControlFlow<Outcome> {
        let mut exchange = cell.lock();
        if let Some(handler) = self.upgrade.take() {
            self.try_upgrade(&mut exchange, turn, date, handler)?;
        }
        let mut first = Vec::new();
        if !exchange.body.is_done() && exchange.failure.is_none() {
            first = self.handle_unread_body(&mut exchange);
        }
        let Some(connection) = exchange.connection.as_mut() else { return Break(Outcome::Gone) };
        connection.requests += 1;
        if connection.is_at_limit(turn) {
            self.close_reason.get_or_insert(CloseReason::ConnectionLimit);
        }
        exchange.flushed = false;
        exchange.responding = true;
        let start = exchange.output.len();
        let (transfer, mut keep_alive) = self.encode_head(&mut exchange, turn, date, first.len());
        match std::mem::take(self.body_mut()) {
            _ if transfer == Transfer::None => {}
            streamed @ (BodyKind::Reader { .. } | BodyKind::Writer(_) | BodyKind::Incoming(_)) => {
                // The lock is released, because the source of the body may read the request's body,
                // which takes the same lock.
                drop(exchange);
                let result = stream_body(streamed, first, cell, &transfer, turn);
                exchange = cell.lock();
                if result.is_err() {
                    let failure = *exchange.failure.get_or_insert(CloseReason::HandlerFailed);
                    if exchange.flushed {
                        turn.count_response(self.parts.status.as_u16());
                        return Break(exchange.close_at_once());
                    }
                    exchange.output.truncate(start);
                    self.replace_with_error(&mut exchange, turn, date, failure);
                }
            }
            known => exchange.push_body(known),
        }
        turn.count_response(self.parts.status.as_u16());
        // The head says keep-alive, because the rest of the body could still be read. That may have
        // failed since.
        keep_alive &= exchange.failure.is_none() && exchange.can_discard();
        if keep_alive {
            return exchange.finish_response(turn);
        }
        let reason = self.close_reason.or(exchange.failure);
        if let Some(connection) = exchange.connection.as_mut() {
            // The client does not expect the close, and may have sent more requests already. Unless
            // a read has shown that it has not, input counts as unread.
            connection.unread |= reason.is_some() || self.is_tunnel();
        }
        let reason = reason.unwrap_or(match turn.is_leaving() {
            true => CloseReason::Draining,
            false => CloseReason::Finished,
        });
        Break(exchange.close_after_response(turn, reason))
    }

    /// Handles a request body that is still unread. If the response's body is that of the request,
    /// this reads the first piece and returns it: a `100 Continue` has to precede the response.
    /// Otherwise it discards what has arrived. If that is malformed, the response becomes a 400,
    /// whatever the handler returned.
    fn handle_unread_body(&mut self, exchange: &mut Exchange) -> Vec<u8> {
        match &self.body.0 {
            _ if self.transfer(Payload::Unknown) == Transfer::None => {}
            BodyKind::Incoming(_) => {
                let mut first = vec![0; COPIED_BODY_MAX];
                match exchange.read_body(&mut first) {
                    Ok(count) => first.truncate(count),
                    Err(error) => {
                        self.close_reason = exchange.failure;
                        self.replace(Response::from(error));
                        first.clear();
                    }
                }
                return first;
            }
            BodyKind::Reader { .. } | BodyKind::Writer(_) if self.body_taken => {
                // If this fails, so does sending the response.
                let _ = exchange.send_continue();
                return Vec::new();
            }
            _ => {}
        }
        if let Err(reject) = exchange.discard() {
            if let Some(connection) = &exchange.connection {
                log::debug!("{}: {}: {}", connection.peer, reject.status(), reject.explain());
            }
            exchange.failure = Some(reject.close_reason());
            self.close_reason.get_or_insert(reject.close_reason());
            self.replace(reject.into());
        }
        Vec::new()
    }

    pub(super) fn transfer(&self, payload: Payload) -> Transfer {
        transfer(&self.request.method, self.request.version, self.parts.status, payload)
    }

    /// Whether the client expects a tunnel behind the response (RFC 9110 §9.3.6). The server has
    /// none, and closes.
    pub(super) fn is_tunnel(&self) -> bool {
        self.request.method == Method::CONNECT && self.parts.status.is_success()
    }

    /// The head of the response, for a body of this length that is sent like this.
    #[inline]
    pub(super) fn head_line<'h>(
        &'h self,
        payload: Payload,
        transfer: &'h Transfer,
        keep_alive: bool,
        date: &'h [u8; 29],
    ) -> HeadLine<'h> {
        let RequestInfo { method, version, .. } = &self.request;
        let http::response::Parts { status, headers, .. } = &self.parts;
        HeadLine {
            version: *version,
            status: *status,
            headers,
            transfer,
            declared_length: declared_length(method, *status, payload, headers),
            keep_alive,
            date,
        }
    }

    /// Encodes the head. Returns how the body is sent, and whether the connection is kept.
    ///
    /// `first_len`: if the request's body is also the body of the response, how many bytes of it
    /// have been read already.
    fn encode_head(
        &self,
        exchange: &mut Exchange,
        turn: &TurnContext<'_>,
        date: &[u8; 29],
        first_len: usize,
    ) -> (Transfer, bool) {
        let length = match &self.body.0 {
            BodyKind::Incoming(_) => exchange.unread_length().map(|rest| rest + first_len as u64),
            _ => self.body.length(),
        };
        let payload = length.map_or(Payload::Unknown, Payload::Known);
        let transfer = self.transfer(payload);
        let streams_back = transfer != Transfer::None
            && match &self.body.0 {
                BodyKind::Incoming(_) => true,
                BodyKind::Reader { .. } | BodyKind::Writer(_) => self.body_taken,
                _ => false,
            };
        let keep_alive = self.request.keep_alive
            && self.close_reason.is_none()
            && !self.is_tunnel()
            && !turn.is_leaving()
            && !matches!(transfer, Transfer::UntilClose)
            && (streams_back || exchange.can_discard());
        let head = self.head_line(payload, &transfer, keep_alive, date);
        encode_head(&mut exchange.output, &head);
        (transfer, keep_alive)
    }

    /// Replaces a response whose body failed before any of it was sent.
    fn replace_with_error(
        &mut self,
        exchange: &mut Exchange,
        turn: &TurnContext<'_>,
        date: &[u8; 29],
        failure: CloseReason,
    ) {
        self.close_reason = Some(failure);
        self.replace(Response::error(match failure {
            CloseReason::BadRequest => StatusCode::BAD_REQUEST,
            CloseReason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            CloseReason::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            CloseReason::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }));
        if self.encode_head(exchange, turn, date, 0).0 != Transfer::None {
            exchange.push_body(std::mem::take(self.body_mut()));
        }
    }
}

/// Sends a body while it is made.
fn stream_body(
    body: BodyKind,
    first: Vec<u8>,
    cell: &ExchangeCell,
    transfer: &Transfer,
    turn: &TurnContext<'_>,
) -> io::Result<()> {
    let run = AssertUnwindSafe(|| {
        let mut sink = BodySink::new(cell, transfer);
        match body {
            BodyKind::Incoming(mut incoming) => {
                let mut piece = first;
                while !piece.is_empty() {
                    sink.write_all(&piece)?;
                    sink.flush()?;
                    piece.resize(COPIED_BODY_MAX, 0);
                    let count = incoming.read(&mut piece)?;
                    piece.truncate(count);
                }
                sink.finish(None)
            }
            BodyKind::Reader { mut reader, .. } => {
                io::copy(&mut reader, &mut sink)?;
                sink.finish(None)
            }
            BodyKind::Writer(write) => {
                let mut writer = BodyWriter { sink: &mut sink, trailers: None };
                write(&mut writer)?;
                let trailers = writer.trailers.take();
                sink.finish(trailers.as_ref())
            }
            BodyKind::Empty | BodyKind::Bytes(_) | BodyKind::Segments(_) | BodyKind::Problem(_) => {
                Ok(())
            }
        }
    });
    catch_unwind(run).unwrap_or_else(|_| {
        turn.count_panic();
        log::error!("the body of a response panicked");
        cell.lock().failure = Some(CloseReason::HandlerPanicked);
        Err(io::ErrorKind::Other.into())
    })
}
