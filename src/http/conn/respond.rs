//! An answer on its way out: framing, keep-alive or close, and the ways to send each kind of body.

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use http::{Method, StatusCode};

use super::exchange::{Exchange, Link};
use crate::close::CloseReason;
use crate::http::codec::response::{
    HeadLine, Payload, Transfer, declared_length, encode_head, transfer,
};
use crate::http::conn::body_sink::Sink;
use crate::http::conn::close::abandon;
use crate::http::conn::request_info::Asked;
use crate::http::conn::send::{COPIED, depart};
use crate::http::message::{Body, BodyWriter, Kind, Response, UpgradeHandler};
use crate::pool::{Outcome, TurnContext};

/// An answer on its way out.
pub(super) struct Answer {
    pub(super) asked: Asked,
    pub(super) parts: http::response::Parts,
    pub(super) body: Body,
    upgrade: Option<UpgradeHandler>,
    /// Why the connection closes after it, if it has to for a reason of its own.
    pub(super) reason: Option<CloseReason>,
    /// Whether the handler has taken the request's body, so that this answer's may be made of it.
    body_taken: bool,
}

impl Answer {
    pub(super) fn new(asked: Asked, response: Response, body_taken: bool) -> Self {
        let (parts, body, upgrade) = response.into_split();
        let mut answer = Self { asked, parts, body, upgrade, reason: None, body_taken };
        let informational = answer.parts.status.is_informational();
        if informational && answer.upgrade.is_none() {
            log::error!("a handler answered {}, which is no final status", answer.parts.status);
            answer.replace(Response::error(StatusCode::INTERNAL_SERVER_ERROR));
        }
        answer
    }

    pub(super) fn body_mut(&mut self) -> &mut Kind {
        &mut self.body.0
    }

    pub(super) fn close_because(&mut self, reason: CloseReason) {
        self.reason = Some(reason);
    }

    pub(super) fn replace(&mut self, response: Response) {
        (self.parts, self.body, self.upgrade) = response.into_split();
    }

    /// Sends it. `None`: the next request can follow on the same connection.
    pub(super) fn send(
        mut self,
        link: &Link,
        turn: &mut TurnContext<'_>,
        date: &[u8; 29],
    ) -> Option<Outcome> {
        let mut exchange = link.lock();
        if let Some(handler) = self.upgrade.take() {
            match self.switch(&mut exchange, turn, date, handler) {
                Ok(served) => return Some(served),
                Err(refused) => self = *refused,
            }
        }
        let mut first = Vec::new();
        if !exchange.body.is_done() && exchange.failure.is_none() {
            first = self.meet_body(&mut exchange);
        }
        let Some(connection) = exchange.connection.as_mut() else { return Some(Outcome::Gone) };
        connection.requests += 1;
        if turn.is_at_its_limit(connection.requests, connection.opened) {
            self.reason.get_or_insert(CloseReason::ConnectionLimit);
        }
        exchange.flushed = false;
        exchange.responding = true;
        let start = exchange.output.len();
        let (transfer, mut keep_alive) = self.encode(&mut exchange, turn, date, first.len());
        match std::mem::take(self.body_mut()) {
            _ if transfer == Transfer::None => {}
            streamed @ (Kind::Reader { .. } | Kind::Writer(_) | Kind::Incoming(_)) => {
                // The body may be made from the request's, which its reader takes from the link.
                drop(exchange);
                let outcome = stream(streamed, first, link, &transfer, turn);
                exchange = link.lock();
                if outcome.is_err() {
                    let failure = *exchange.failure.get_or_insert(CloseReason::HandlerFailed);
                    if exchange.flushed {
                        return Some(abandon(&mut exchange));
                    }
                    exchange.output.truncate(start);
                    self.apologize(&mut exchange, turn, date, failure);
                }
            }
            known => exchange.push_known(known),
        }
        // What was kept alive in hope of the rest of the body may have failed meanwhile.
        keep_alive &= exchange.failure.is_none() && exchange.can_discard();
        if keep_alive {
            return depart(&mut exchange, turn, None);
        }
        let reason = self.reason.or(exchange.failure);
        if let Some(connection) = exchange.connection.as_mut() {
            // The client did not ask for the end, and may have sent more without waiting: what has
            // not been looked for counts as unread.
            connection.unread |= reason.is_some() || self.is_tunnel();
        }
        let reason = reason.unwrap_or(match turn.is_draining() {
            true => CloseReason::Draining,
            false => CloseReason::Finished,
        });
        depart(&mut exchange, turn, Some(reason))
    }

    /// Sees to a request's body that is still unread. If the answer's is made of it, the client may
    /// have to be told to send it, which has to come before the answer; the first piece is
    /// returned. Otherwise what has come of it is thrown away. A body that is malformed so far
    /// makes the request a bad one, whatever the handler said.
    fn meet_body(&mut self, exchange: &mut Exchange) -> Vec<u8> {
        match &self.body.0 {
            _ if self.transfer(Payload::Unknown) == Transfer::None => {}
            Kind::Incoming(_) => {
                let mut first = vec![0; COPIED];
                match exchange.read_body(&mut first) {
                    Ok(count) => first.truncate(count),
                    Err(error) => {
                        self.reason = exchange.failure;
                        self.replace(Response::from(error));
                        first.clear();
                    }
                }
                return first;
            }
            Kind::Reader { .. } | Kind::Writer(_) if self.body_taken => {
                exchange.invite();
                return Vec::new();
            }
            _ => {}
        }
        if let Err(reject) = exchange.discard() {
            if let Some(connection) = &exchange.connection {
                log::debug!("{}: {}: {}", connection.peer, reject.status(), reject.explain());
            }
            exchange.failure = Some(reject.close_reason());
            self.reason.get_or_insert(reject.close_reason());
            self.replace(reject.into());
        }
        Vec::new()
    }

    fn transfer(&self, payload: Payload) -> Transfer {
        transfer(&self.asked.method, self.asked.version, self.parts.status, payload)
    }

    /// Whether what follows belongs to a tunnel (RFC 9110 §9.3.6), which nobody has dug.
    fn is_tunnel(&self) -> bool {
        self.asked.method == Method::CONNECT && self.parts.status.is_success()
    }

    /// Encodes the head: how the body goes out, and whether the connection is kept. `first` bytes
    /// of a body that is the request's were already read.
    fn encode(
        &self,
        exchange: &mut Exchange,
        turn: &TurnContext<'_>,
        date: &[u8; 29],
        first: usize,
    ) -> (Transfer, bool) {
        let length = match &self.body.0 {
            Kind::Incoming(_) => exchange.unread_length().map(|rest| rest + first as u64),
            _ => self.body.length(),
        };
        let payload = length.map_or(Payload::Unknown, Payload::Known);
        let Asked { method, version, .. } = &self.asked;
        let transfer = self.transfer(payload);
        let streams_back = transfer != Transfer::None
            && match &self.body.0 {
                Kind::Incoming(_) => true,
                Kind::Reader { .. } | Kind::Writer(_) => self.body_taken,
                _ => false,
            };
        let keep_alive = self.asked.keep_alive
            && self.reason.is_none()
            && !self.is_tunnel()
            && !turn.is_draining()
            && !matches!(transfer, Transfer::UntilClose)
            && (streams_back || exchange.can_discard());
        let head = HeadLine {
            version: *version,
            status: self.parts.status,
            headers: &self.parts.headers,
            transfer: &transfer,
            declared_length: declared_length(
                method,
                self.parts.status,
                payload,
                &self.parts.headers,
            ),
            keep_alive,
            date,
        };
        encode_head(&mut exchange.output, &head);
        (transfer, keep_alive)
    }

    /// Answers with an error in place of a body that failed before any of it was sent.
    fn apologize(
        &mut self,
        exchange: &mut Exchange,
        turn: &TurnContext<'_>,
        date: &[u8; 29],
        failure: CloseReason,
    ) {
        self.reason = Some(failure);
        self.replace(Response::error(match failure {
            CloseReason::BadRequest => StatusCode::BAD_REQUEST,
            CloseReason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            CloseReason::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            CloseReason::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }));
        if self.encode(exchange, turn, date, 0).0 != Transfer::None {
            exchange.push_known(std::mem::take(self.body_mut()));
        }
    }
}

/// Sends a body as it comes.
fn stream(
    body: Kind,
    first: Vec<u8>,
    link: &Link,
    transfer: &Transfer,
    turn: &TurnContext<'_>,
) -> io::Result<()> {
    let run = AssertUnwindSafe(|| {
        let mut sink = Sink::new(link, transfer);
        match body {
            Kind::Incoming(mut incoming) => {
                let mut piece = first;
                while !piece.is_empty() {
                    sink.write_all(&piece)?;
                    sink.flush()?;
                    piece.resize(COPIED, 0);
                    let count = incoming.read(&mut piece)?;
                    piece.truncate(count);
                }
                sink.finish(None)
            }
            Kind::Reader { mut reader, .. } => {
                io::copy(&mut reader, &mut sink)?;
                sink.finish(None)
            }
            Kind::Writer(write) => {
                let mut writer = BodyWriter { sink: &mut sink, trailers: None };
                write(&mut writer)?;
                let trailers = writer.trailers.take();
                sink.finish(trailers.as_ref())
            }
            Kind::Empty | Kind::Bytes(_) | Kind::Segments(_) => Ok(()),
        }
    });
    catch_unwind(run).unwrap_or_else(|_| {
        turn.count_panic();
        log::error!("the body of an answer panicked");
        link.lock().failure = Some(CloseReason::HandlerPanicked);
        Err(io::ErrorKind::Other.into())
    })
}
