//! How a connection leaves the worker after an answer: sent, queued, parked or closed.

use std::io;
use std::time::Instant;

use bytes::Bytes;

use super::exchange::Exchange;
use crate::close::CloseReason;
use crate::http::conn::close::{abandon, close, send_failure};
use crate::http::message::Kind;
use crate::net::Interest;
use crate::pool::client_waits::{Pace, Waited};
use crate::pool::output::{Leased, Sent};
use crate::pool::{Connection, Outcome, Phase, Segment, TurnContext};

/// A body in memory up to this many bytes is copied behind its head, and both are sent at once.
pub(super) const COPIED: usize = 16 * 1024;

/// How much of a large answer is sent before it is looked whether others wait. Little enough that a
/// hundred who ask for large files at once all have their head within milliseconds, and nobody is
/// refused for it.
const FIRST_BYTES: u64 = 256 << 10;

/// Sends what is encoded, unless the next request is already there and may be answered along with
/// it. `None`: the next request can follow.
pub(super) fn depart(
    exchange: &mut Exchange,
    turn: &TurnContext<'_>,
    closing: Option<CloseReason>,
) -> Option<Outcome> {
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

/// Sends the responses that are encoded, so that nobody waits for them while the next request is
/// seen to. `Some`: the client does not take them at once, and the connection leaves the worker.
pub(super) fn send_encoded(exchange: &mut Exchange, turn: &TurnContext<'_>) -> Option<Outcome> {
    if exchange.output.is_empty() { None } else { send(exchange, turn) }
}

/// Sends what is encoded and queued. What the client does not take now is finished off the workers,
/// if there is memory for it. `Some`: the connection leaves the worker.
fn send(exchange: &mut Exchange, turn: &TurnContext<'_>) -> Option<Outcome> {
    let connection = exchange.connection.as_mut()?;
    if connection.output.is_empty() {
        // A response that ends the connection shares its packet with the end, if it is all there
        // is.
        let sent = match connection.closing {
            Some(_) if exchange.output.len() <= COPIED => {
                connection.stream.try_write_last(&exchange.output)
            }
            _ => connection.stream.try_write(&exchange.output),
        };
        match sent {
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
    let failure = match send_queued(connection, turn, FIRST_BYTES) {
        Queued::Sent => return None,
        Queued::Waits => return Some(leave(exchange, turn, Phase::Write)),
        Queued::Turn => return Some(requeued(leave(exchange, turn, Phase::Write))),
        Queued::Failed(reason) => reason,
    };
    exchange.failure = Some(failure);
    Some(abandon(exchange))
}

/// What became of a connection's queued output.
pub(super) enum Queued {
    /// Everything is with the kernel.
    Sent,
    /// The client has to take some of it first.
    Waits,
    /// There is more, but others wait for the worker.
    Turn,
    /// It cannot be sent.
    Failed(CloseReason),
}

/// Sends queued output, about `piece` bytes before it is looked whether others wait.
pub(super) fn send_queued(
    connection: &mut Connection,
    turn: &TurnContext<'_>,
    piece: u64,
) -> Queued {
    let timeouts = &turn.config().timeouts;
    let mut pace = Pace::default();
    loop {
        let began = Instant::now();
        let before = connection.output.left();
        let sent = connection.output.send(&connection.stream, piece);
        turn.add_sending(began.elapsed());
        pace.bytes += before - connection.output.left();
        match sent {
            Ok(Sent::All) => return Queued::Sent,
            Ok(Sent::Turn) if !turn.others_wait() => continue,
            Ok(Sent::Turn | Sent::Blocked) => {}
            Err(error) => return Queued::Failed(send_failure(&error)),
        }
        let is_turn = matches!(sent, Ok(Sent::Turn));
        match turn.lease_output(connection) {
            Leased::Yes if is_turn => return Queued::Turn,
            Leased::Yes => return Queued::Waits,
            _ if is_turn => {}
            // It is slow, and others are no slower.
            Leased::Full(_) => return Queued::Failed(CloseReason::WriteTimeout),
            Leased::TooMuch => {
                let what = (&connection.stream, Interest::Write);
                let before = pace.waited;
                let waits = turn.client_waits();
                let waited = waits.wait(what, timeouts.write, timeouts, &mut pace);
                turn.add_client_wait(pace.waited - before);
                match waited {
                    Ok(Waited::Ready) => {}
                    Ok(Waited::TooSlow) => return Queued::Failed(CloseReason::WriteTimeout),
                    Ok(Waited::NoRoom) => return Queued::Failed(CloseReason::Overloaded),
                    Err(_) => return Queued::Failed(CloseReason::SocketError),
                }
            }
        }
    }
}

/// The connection has nothing more to say for now: sends what is encoded, and parks it.
///
/// `within_body`: what it waits for is the rest of a request's body.
pub(super) fn park(exchange: &mut Exchange, turn: &TurnContext<'_>, within_body: bool) -> Outcome {
    if let Some(served) = send_encoded(exchange, turn) {
        return served;
    }
    let phase = match &mut exchange.connection {
        Some(connection) if !exchange.body.is_done() => {
            connection.moved = Instant::now();
            Phase::Discard
        }
        _ if within_body => Phase::Body,
        Some(connection) if connection.requests > 0 && exchange.input.is_empty() => Phase::Idle,
        _ => Phase::Head,
    };
    leave(exchange, turn, phase)
}

/// The connection has more to say, but it is others' turn.
pub(super) fn requeue(exchange: &mut Exchange, turn: &TurnContext<'_>) -> Outcome {
    match send_encoded(exchange, turn) {
        Some(served) => served,
        None => requeued(leave(exchange, turn, Phase::Head)),
    }
}

fn requeued(left: Outcome) -> Outcome {
    match left {
        Outcome::Park(connection, _) => Outcome::Requeue(connection),
        served => served,
    }
}

/// The connection leaves the worker, with what was read ahead.
fn leave(exchange: &mut Exchange, turn: &TurnContext<'_>, phase: Phase) -> Outcome {
    let Some(mut connection) = exchange.put_down() else { return Outcome::Gone };
    if turn.lease_input(&mut connection) {
        return Outcome::Park(connection, phase);
    }
    if connection.output.is_empty() {
        // One try: the connection is ended for its memory.
        let _ = connection.stream.try_write(NO_ROOM);
    }
    Outcome::Close(connection, CloseReason::Overloaded)
}

/// The response to a request for whose beginning there is no memory.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

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

    /// Reads the rest of the body and throws it away, waiting for it. `false`: it is too much for
    /// that.
    pub(super) fn finish_body(&mut self) -> io::Result<bool> {
        let mut scratch = [0; 4096];
        let mut left = self.config.limits.unread_body;
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
