//! An answer on its way out: framing, keep-alive or close, and the ways to send each kind of body.

use std::io;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode, Version};

use super::driver::{abandon, close, send_failure};
use super::exchange::Exchange;
use super::message::{Body, BodyWriter, Kind, Response, UpgradeHandler};
use super::request::Head;
use super::response::{
    HeadLine, Payload, Transfer, declared, encode_head, encode_last_chunk, transfer,
};
use super::sink::Sink;
use super::upgraded::Upgraded;
use crate::close::CloseReason;
use crate::net::Interest;
use crate::pool::output::Sent;
use crate::pool::{Phase, Segment, Served, Turn};

/// A body in memory up to this many bytes is copied behind its head, and both are sent at once.
const COPIED: usize = 16 * 1024;

/// How much of a large answer is sent before it is looked whether others wait.
const FIRST_BYTES: u64 = 2 << 20;

/// What of the request matters for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) keep_alive: bool,
}

impl Asked {
    pub(super) fn of(head: &Head) -> Self {
        Self { method: head.method.clone(), version: head.version, keep_alive: head.keep_alive }
    }
}

/// An answer on its way out.
pub(super) struct Answer {
    asked: Asked,
    parts: http::response::Parts,
    body: Body,
    upgrade: Option<UpgradeHandler>,
    /// Why the connection closes after it, if it has to for a reason of its own.
    reason: Option<CloseReason>,
}

impl Answer {
    pub(super) fn new(asked: Asked, response: Response, panicked: bool) -> Self {
        let (parts, body, upgrade) = response.into_split();
        let reason = panicked.then_some(CloseReason::HandlerPanicked);
        let mut answer = Self { asked, parts, body, upgrade, reason };
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

    fn replace(&mut self, response: Response) {
        (self.parts, self.body, self.upgrade) = response.into_split();
    }

    /// Sends it. `None`: the next request can follow on the same connection.
    pub(super) fn send(
        mut self,
        exchange: &mut Exchange,
        turn: &mut Turn<'_>,
        date: &[u8; 29],
    ) -> Option<Served> {
        if let Some(handler) = self.upgrade.take() {
            match self.switch(exchange, turn, date, handler) {
                Ok(served) => return Some(served),
                Err(refused) => self = *refused,
            }
        }
        let Some(connection) = exchange.connection.as_mut() else { return Some(Served::Gone) };
        connection.requests += 1;
        let payload = match self.body.length() {
            Some(length) => Payload::Known(length),
            None => Payload::Unknown,
        };
        let Asked { method, version, .. } = &self.asked;
        let transfer = transfer(method, *version, self.parts.status, payload);
        let declared = declared(method, self.parts.status, payload, &self.parts.headers);
        let worn_out = turn.is_worn_out(connection.requests, connection.opened);
        if worn_out {
            self.reason.get_or_insert(CloseReason::WornOut);
        }
        let echoes = matches!(self.body.0, Kind::Incoming(_));
        let keep_alive = self.asked.keep_alive
            && self.reason.is_none()
            && !turn.is_draining()
            && !matches!(transfer, Transfer::UntilClose)
            && (echoes || exchange.can_discard(turn.config().limits.drain));
        let head = HeadLine {
            version: *version,
            status: self.parts.status,
            headers: &self.parts.headers,
            transfer: &transfer,
            declared,
            keep_alive,
            date,
        };
        encode_head(&mut exchange.output, &head);
        let outcome = self.send_body(exchange, &transfer);
        if let Err(error) = outcome {
            let failure = exchange.failure.unwrap_or_else(|| send_failure(&error));
            exchange.failure = Some(failure);
            return Some(abandon(exchange));
        }
        // What was kept alive in hope of the rest of the body may have failed meanwhile.
        let keep_alive = keep_alive && exchange.failure.is_none();
        let reason = self.reason.or(exchange.failure).unwrap_or(match turn.is_draining() {
            true => CloseReason::Draining,
            false => CloseReason::Finished,
        });
        depart(exchange, turn, if keep_alive { None } else { Some(reason) })
    }

    fn send_body(&mut self, exchange: &mut Exchange, transfer: &Transfer) -> io::Result<()> {
        if matches!(transfer, Transfer::None) {
            return Ok(());
        }
        match std::mem::take(&mut self.body.0) {
            Kind::Empty => {}
            Kind::Bytes(bytes) if bytes.len() <= COPIED => {
                exchange.output.extend_from_slice(&bytes);
            }
            Kind::Bytes(bytes) => exchange.queue([Segment::Bytes(bytes)]),
            Kind::Segments(segments) => exchange.queue(segments),
            Kind::Reader { mut reader, .. } => {
                let mut sink = Sink::new(exchange, transfer);
                io::copy(&mut reader, &mut sink)?;
                sink.finish(None)?;
            }
            Kind::Incoming(_) => {
                let mut scratch = vec![0; COPIED];
                loop {
                    let count = exchange.read_body(&mut scratch)?;
                    if count == 0 {
                        break;
                    }
                    Sink::new(exchange, transfer).pass(&scratch[..count])?;
                }
                if matches!(transfer, Transfer::Chunked) {
                    encode_last_chunk(&mut exchange.output, None);
                }
            }
            Kind::Writer(write) => {
                let mut sink = Sink::new(exchange, transfer);
                let mut writer = BodyWriter { sink: &mut sink, trailers: None };
                write(&mut writer)?;
                let trailers = writer.trailers.take();
                sink.finish(trailers.as_ref())?;
            }
        }
        Ok(())
    }

    /// Sends a 101 and hands the connection over. `Err`: there is no thread for it, and a 503 is to
    /// be sent instead.
    fn switch(
        mut self,
        exchange: &mut Exchange,
        turn: &mut Turn<'_>,
        date: &[u8; 29],
        handler: UpgradeHandler,
    ) -> Result<Served, Box<Self>> {
        let Some(permit) = turn.mill.upgrades.enter() else {
            self.replace(Response::error(StatusCode::SERVICE_UNAVAILABLE));
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            self.parts.headers.insert(CONTENT_TYPE, text);
            self.reason = Some(CloseReason::Overloaded);
            return Err(Box::new(self));
        };
        let head = HeadLine {
            version: self.asked.version,
            status: StatusCode::SWITCHING_PROTOCOLS,
            headers: &self.parts.headers,
            transfer: &Transfer::None,
            declared: None,
            keep_alive: true,
            date,
        };
        encode_head(&mut exchange.output, &head);
        if exchange.flush().is_err() {
            return Ok(abandon(exchange));
        }
        let Some(mut connection) = exchange.connection.take() else { return Ok(Served::Gone) };
        turn.mill.parking.release(&mut connection);
        let ahead = exchange.input.unload();
        let upgraded = Upgraded::new(connection, ahead, std::sync::Arc::clone(turn.mill));
        turn.mill.upgrades.run(permit, Box::new(move || handler(upgraded)));
        Ok(Served::Gone)
    }
}

/// Sends what is encoded, unless the next request is already there and may be answered along with it.
/// `None`: the next request can follow.
fn depart(
    exchange: &mut Exchange,
    turn: &Turn<'_>,
    closing: Option<CloseReason>,
) -> Option<Served> {
    let connection = exchange.connection.as_mut()?;
    if connection.output.is_empty() {
        let more = closing.is_none() && !exchange.input.is_empty() && exchange.body.is_done();
        if more && exchange.output.len() < COPIED {
            return None;
        }
    }
    connection.closing = closing;
    if let Some(served) = send(exchange, turn) {
        return Some(served);
    }
    let reason = closing?;
    let mut connection = exchange.connection.take()?;
    connection.input = exchange.input.unload();
    connection.unread |= !exchange.body.is_done();
    Some(close(connection, reason))
}

/// Sends what is encoded and queued. What the client does not take now is finished off the workers,
/// if there is memory for it. `Some`: the connection leaves the worker.
fn send(exchange: &mut Exchange, turn: &Turn<'_>) -> Option<Served> {
    let connection = exchange.connection.as_mut()?;
    if connection.output.is_empty() {
        match connection.stream.try_write(&exchange.output) {
            Ok(count) if count == exchange.output.len() => {
                exchange.output.clear();
                return None;
            }
            Ok(count) => {
                let rest = Bytes::copy_from_slice(&exchange.output[count..]);
                connection.output.push(Segment::Bytes(rest));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.output.push(Segment::Bytes(Bytes::copy_from_slice(&exchange.output)));
            }
            Err(_) => return Some(abandon(exchange)),
        }
        exchange.output.clear();
    }
    let limits = &turn.config().limits;
    loop {
        match connection.output.send(&connection.stream, FIRST_BYTES) {
            Ok(Sent::All) => return None,
            Ok(Sent::Turn) if !turn.others_wait() => {}
            Ok(Sent::Turn) => return Some(requeue(exchange)),
            Ok(Sent::Blocked) => {
                if connection.output.lease(limits.pending, &turn.mill.pending) {
                    return Some(leave(exchange, Phase::Write));
                }
                let deadline = Instant::now() + turn.config().timeouts.write;
                match connection.stream.wait(Interest::Write, Some(deadline)) {
                    Ok(true) => {}
                    Ok(false) => exchange.failure = Some(CloseReason::WriteTimeout),
                    Err(_) => exchange.failure = Some(CloseReason::SocketError),
                }
                if exchange.failure.is_some() {
                    return Some(abandon(exchange));
                }
            }
            Err(error) => {
                exchange.failure = Some(send_failure(&error));
                return Some(abandon(exchange));
            }
        }
    }
}

/// The connection has nothing more to say for now: sends what is encoded, and parks it.
pub(super) fn park(exchange: &mut Exchange, turn: &Turn<'_>) -> Served {
    if !exchange.output.is_empty()
        && let Some(served) = send(exchange, turn)
    {
        return served;
    }
    let phase = match &exchange.connection {
        _ if !exchange.body.is_done() => Phase::Discard,
        Some(connection) if connection.requests > 0 && exchange.input.is_empty() => Phase::Idle,
        _ => Phase::Head,
    };
    leave(exchange, phase)
}

/// The connection has more to say, but it is others' turn.
pub(super) fn requeue(exchange: &mut Exchange) -> Served {
    if exchange.flush().is_err() {
        return abandon(exchange);
    }
    match leave(exchange, Phase::Head) {
        Served::Park(connection, _) => Served::Requeue(connection),
        served => served,
    }
}

/// The connection leaves the worker, with what was read ahead.
fn leave(exchange: &mut Exchange, phase: Phase) -> Served {
    let Some(mut connection) = exchange.connection.take() else { return Served::Gone };
    connection.input = exchange.input.unload();
    Served::Park(connection, phase)
}

impl Exchange {
    /// Queues pieces behind what is encoded.
    fn queue(&mut self, segments: impl IntoIterator<Item = Segment>) {
        let encoded = Bytes::copy_from_slice(&self.output);
        self.output.clear();
        let Some(connection) = self.connection.as_mut() else { return };
        connection.output.push(Segment::Bytes(encoded));
        for segment in segments {
            connection.output.push(segment);
        }
    }
}
