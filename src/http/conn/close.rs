//! How a connection closes so that its last response reaches the client (lingering close).

use std::io;
use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Instant;

use super::exchange::Exchange;
use super::send::SendProgress;
use crate::close::CloseReason;
use crate::pool::{Connection, Outcome, Phase, TurnContext};

/// The most bytes of a queued response that are sent in one turn, if other connections wait.
const TURN_BYTES: u64 = 2 << 20;

/// The most bytes that a lingering close reads and discards in one turn.
const LINGER_BYTES: u64 = 1 << 20;

impl Exchange {
    /// Sends the encoded responses, and closes the connection behind them.
    pub(super) fn close_after_response(
        &mut self,
        turn: &TurnContext<'_>,
        reason: CloseReason,
    ) -> Outcome {
        let Some(connection) = self.connection.as_mut() else { return Outcome::Gone };
        connection.closing = Some(reason);
        if let Break(outcome) = self.send_responses(turn) {
            return outcome;
        }
        match self.detach() {
            Some(connection) => connection.close_gracefully(turn, reason),
            None => Outcome::Gone,
        }
    }

    /// Sends the encoded responses, and closes a connection whose body cannot be discarded to its
    /// end.
    pub(super) fn close_with_unread_body(
        &mut self,
        turn: &TurnContext<'_>,
        reason: CloseReason,
    ) -> Outcome {
        if let Some(connection) = &mut self.connection {
            connection.unread = true;
        }
        self.close_after_response(turn, reason)
    }

    /// Sends the encoded responses to a client that has shut down its sending side, and closes the
    /// connection.
    pub(super) fn close_after_client(&mut self, turn: &TurnContext<'_>) -> Outcome {
        let between_requests = self.input.is_empty() && self.body.is_done();
        let reason = match between_requests {
            true => CloseReason::ClientClosed,
            false => CloseReason::ClientGone,
        };
        if let Some(connection) = &mut self.connection {
            connection.closing = Some(reason);
        }
        if let Break(outcome) = self.send_responses(turn) {
            return outcome;
        }
        self.failure = Some(reason);
        self.close_at_once()
    }
}

impl Connection {
    /// Whether the connection has reached its number of requests, or its age, and has to close.
    pub(super) fn is_at_limit(&self, turn: &TurnContext<'_>) -> bool {
        let config = turn.config();
        let age = || turn.now.saturating_duration_since(self.opened);
        config.limits.requests.is_some_and(|most| self.requests >= most)
            || config.timeouts.age.is_some_and(|most| age() > most)
    }

    /// Sends what an earlier turn left of a response. `Continue`: the connection can read the next
    /// request.
    pub(super) fn finish_output(
        mut self: Box<Self>,
        turn: &TurnContext<'_>,
    ) -> ControlFlow<Outcome, Box<Self>> {
        match self.send_queued(turn, TURN_BYTES) {
            SendProgress::Done => {}
            SendProgress::Blocked => return Break(Outcome::Park(self, Phase::Write)),
            SendProgress::Yield => return Break(Outcome::Requeue(self)),
            SendProgress::Failed(reason) => return Break(Outcome::Close(self, reason)),
        }
        match self.closing {
            Some(reason) => Break(self.close_gracefully(turn, reason)),
            None => Continue(self),
        }
    }

    /// Closes a connection whose last response the kernel has accepted.
    ///
    /// If input is unread, or still arrives, a close would make the kernel reset the connection,
    /// and the client might lose the response (RFC 9112 §9.6). In that case only the sending side
    /// is shut down, and the connection lingers, without a worker, until the client closes.
    pub(super) fn close_gracefully(
        mut self: Box<Self>,
        turn: &TurnContext<'_>,
        reason: CloseReason,
    ) -> Outcome {
        let body_unfinished = self.unfinished.take().is_some();
        if !self.unread && !body_unfinished && self.input.is_empty() {
            return Outcome::Close(self, reason);
        }
        self.closing = Some(reason);
        self.input = Vec::new();
        self.input_lease = None;
        self.last_input = Instant::now();
        if self.wire.shutdown_write().is_err() {
            return Outcome::Close(self, reason);
        }
        self.enter(Phase::Linger, turn.now);
        self.linger(turn)
    }

    /// Reads and discards input until the client closes, or the deadline passes.
    pub(super) fn linger(mut self: Box<Self>, turn: &TurnContext<'_>) -> Outcome {
        let reason = self.closing.unwrap_or(CloseReason::Finished);
        if turn.now >= self.deadline(&turn.config().timeouts) {
            return Outcome::Close(self, reason);
        }
        let mut scratch = [0; 16 * 1024];
        let mut read = 0;
        loop {
            match self.wire.try_discard(&mut scratch) {
                Ok(count) if count > 0 => {
                    read += count as u64;
                    self.last_input = turn.now;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unread = false;
                    return Outcome::Park(self, Phase::Linger);
                }
                _ => return Outcome::Close(self, reason),
            }
            if read >= LINGER_BYTES {
                return Outcome::Requeue(self);
            }
        }
    }
}
