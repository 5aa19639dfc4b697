//! How a connection leaves the worker after an answer: sent, queued, parked or closed.

use std::io;
use std::time::Instant;

use bytes::Bytes;

use super::closing::{abandon, close, send_failure};
use super::exchange::{Exchange, is_too_slow};
use super::message::Kind;
use crate::close::CloseReason;
use crate::net::Interest;
use crate::pool::output::Sent;
use crate::pool::{Phase, Segment, Served, Turn};

/// A body in memory up to this many bytes is copied behind its head, and both are sent at once.
pub(super) const COPIED: usize = 16 * 1024;

/// How much of a large answer is sent before it is looked whether others wait. Little enough that a
/// hundred who ask for large files at once all have their head within milliseconds, and nobody is
/// refused for it.
const FIRST_BYTES: u64 = 256 << 10;

/// Sends what is encoded, unless the next request is already there and may be answered along with it.
/// `None`: the next request can follow.
pub(super) fn depart(
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
    exchange.put_down().map(|connection| close(connection, reason, turn))
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
    let (limits, timeouts) = (&turn.config().limits, &turn.config().timeouts);
    let mut waiting = None;
    loop {
        let began = Instant::now();
        let sent = connection.output.send(&connection.stream, FIRST_BYTES);
        turn.sending.set(turn.sending.get() + began.elapsed());
        match sent {
            Ok(Sent::All) => return None,
            Ok(Sent::Turn) if !turn.others_wait() => {}
            Ok(Sent::Turn) => return Some(requeue(exchange)),
            Ok(Sent::Blocked) => {
                if connection.output.lease(limits.pending, &turn.mill.pending) {
                    return Some(leave(exchange, Phase::Write));
                }
                let (now, left) = (Instant::now(), connection.output.left());
                let (since, all) = *waiting.get_or_insert((now, left));
                let lasted = now.saturating_duration_since(since);
                let deadline = timeouts.deadline(timeouts.write, all - left, since, now);
                match connection.stream.wait(Interest::Write, Some(deadline)) {
                    Ok(true) if !is_too_slow(timeouts, all - left, lasted) => {}
                    Ok(_) => exchange.failure = Some(CloseReason::WriteTimeout),
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
///
/// `within_body`: what it waits for is the rest of a request's body.
pub(super) fn park(exchange: &mut Exchange, turn: &Turn<'_>, within_body: bool) -> Served {
    if !exchange.output.is_empty()
        && let Some(served) = send(exchange, turn)
    {
        return served;
    }
    let phase = match &exchange.connection {
        _ if !exchange.body.is_done() => Phase::Discard,
        _ if within_body => Phase::Body,
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
    match exchange.put_down() {
        Some(connection) => Served::Park(connection, phase),
        None => Served::Gone,
    }
}

impl Exchange {
    /// Puts a body whose bytes are known behind what is encoded.
    pub(super) fn push_known(&mut self, body: Kind) {
        match body {
            Kind::Bytes(bytes) if bytes.len() <= COPIED => self.output.extend_from_slice(&bytes),
            Kind::Bytes(bytes) => self.queue([Segment::Bytes(bytes)]),
            Kind::Segments(segments) => self.queue(segments),
            Kind::Empty | Kind::Incoming(_) | Kind::Reader { .. } | Kind::Writer(_) => {}
        }
    }

    fn queue(&mut self, segments: impl IntoIterator<Item = Segment>) {
        let encoded = Bytes::copy_from_slice(&self.output);
        self.output.clear();
        let Some(connection) = self.connection.as_mut() else { return };
        connection.output.push(Segment::Bytes(encoded));
        for segment in segments {
            connection.output.push(segment);
        }
    }

    /// Reads the rest of the body and throws it away, waiting for it. `false`: it is too much for that.
    pub(super) fn finish_body(&mut self) -> io::Result<bool> {
        let mut scratch = [0; 4096];
        let mut left = self.config.limits.drain;
        while !self.body.is_done() {
            let count = self.read_body(&mut scratch)? as u64;
            match left.checked_sub(count) {
                Some(less) => left = less,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}
