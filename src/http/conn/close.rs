//! How a connection ends, so that its last answer reaches the client.

use std::io;
use std::time::Instant;

use super::exchange::Exchange;
use crate::close::CloseReason;
use crate::http::conn::send::{Queued, send_encoded, send_queued};
use crate::pool::{Connection, Outcome, Phase, TurnContext};

/// How much of an answer is sent in one turn before others have theirs.
const TURN_BYTES: u64 = 2 << 20;

/// How many bytes a lingering close reads and throws away in one turn.
const LINGER_BYTES: u64 = 1 << 20;

/// Takes the connection out and closes it, as its exchange cannot go on.
pub(super) fn abandon(exchange: &mut Exchange) -> Outcome {
    let reason = exchange.failure.unwrap_or(CloseReason::ClientGone);
    exchange.output.clear();
    match exchange.connection.take() {
        Some(connection) => Outcome::Close(connection, reason),
        None => Outcome::Gone,
    }
}

/// The client has shut down its side: what was answered is sent, then it is over.
pub(super) fn peer_ended(exchange: &mut Exchange, turn: &TurnContext<'_>) -> Outcome {
    let between = exchange.input.is_empty() && exchange.body.is_done();
    let reason = if between { CloseReason::ClientClosed } else { CloseReason::ClientGone };
    if let Some(connection) = &mut exchange.connection {
        connection.closing = Some(reason);
    }
    if let Some(served) = send_encoded(exchange, turn) {
        return served;
    }
    exchange.failure = Some(reason);
    abandon(exchange)
}

/// Closes a connection whose answers are said, but whose body cannot be thrown away to its end.
pub(super) fn part(
    exchange: &mut Exchange,
    turn: &TurnContext<'_>,
    reason: CloseReason,
) -> Outcome {
    if let Some(connection) = &mut exchange.connection {
        connection.closing = Some(reason);
        // Whatever is read from here on is thrown away unseen.
        connection.unread = true;
    }
    if let Some(served) = send_encoded(exchange, turn) {
        return served;
    }
    match exchange.put_down() {
        Some(connection) => close(connection, reason, turn),
        None => Outcome::Gone,
    }
}

/// Sends what a connection still has to send. `Err`: it leaves the worker.
pub(super) fn send_output(
    mut connection: Box<Connection>,
    turn: &TurnContext<'_>,
) -> Result<Box<Connection>, Outcome> {
    match send_queued(&mut connection, turn, TURN_BYTES) {
        Queued::Sent => {}
        Queued::Waits => return Err(Outcome::Park(connection, Phase::Write)),
        Queued::Turn => return Err(Outcome::Requeue(connection)),
        Queued::Failed(reason) => return Err(Outcome::Close(connection, reason)),
    }
    match connection.closing {
        Some(reason) => Err(close(connection, reason, turn)),
        None => Ok(connection),
    }
}

/// Why sending failed.
pub(super) fn send_failure(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => CloseReason::HandlerFailed,
        _ => CloseReason::ClientGone,
    }
}

/// Closes a connection whose last answer is with the kernel. With input unread, closing at once
/// would reset the connection and might cost the client the answer: then only this side is shut
/// down, and the client's end is waited for, off the workers.
pub(super) fn close(
    mut connection: Box<Connection>,
    reason: CloseReason,
    turn: &TurnContext<'_>,
) -> Outcome {
    let more_comes = connection.unfinished.take().is_some();
    if !connection.unread && !more_comes && connection.input.is_empty() {
        return Outcome::Close(connection, reason);
    }
    connection.closing = Some(reason);
    connection.input = Vec::new();
    connection.input_lease = None;
    connection.moved = Instant::now();
    if connection.stream.shutdown_write().is_err() {
        return Outcome::Close(connection, reason);
    }
    connection.enter(Phase::Linger, turn.now);
    linger(connection, turn)
}

/// Reads and throws away what still comes, until the client has ended too, or has had its time.
pub(super) fn linger(mut connection: Box<Connection>, turn: &TurnContext<'_>) -> Outcome {
    let reason = connection.closing.unwrap_or(CloseReason::Finished);
    if turn.now >= connection.deadline(&turn.config().timeouts) {
        return Outcome::Close(connection, reason);
    }
    let mut scratch = [0; 16 * 1024];
    let mut read = 0;
    loop {
        match connection.stream.try_read(&mut scratch) {
            Ok(count) if count > 0 => {
                read += count as u64;
                connection.moved = turn.now;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.unread = false;
                return Outcome::Park(connection, Phase::Linger);
            }
            _ => return Outcome::Close(connection, reason),
        }
        if read >= LINGER_BYTES {
            return Outcome::Requeue(connection);
        }
    }
}
