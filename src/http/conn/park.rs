//! How a connection leaves the worker before it is done: parked, requeued, or closed at once.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Instant;

use super::exchange::Exchange;
use crate::close::CloseReason;
use crate::pool::{Connection, Outcome, Phase, TurnContext};

/// The response to a request when there is no memory to store its first part.
const NO_MEMORY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

impl Exchange {
    /// Parks the connection until it has more input. `within_body`: the rest of a request's body is
    /// expected.
    pub(super) fn park_for_input(&mut self, turn: &TurnContext<'_>, within_body: bool) -> Outcome {
        let phase = match &mut self.connection {
            Some(connection) if !self.body.is_done() => {
                connection.last_input = Instant::now();
                Phase::Discard
            }
            _ if within_body => Phase::Body,
            Some(connection) if connection.requests > 0 && self.input.is_empty() => Phase::Idle,
            _ => Phase::Head,
        };
        self.park(turn, phase)
    }

    /// Parks the connection in this phase.
    pub(super) fn park(&mut self, turn: &TurnContext<'_>, phase: Phase) -> Outcome {
        match self.detach_within_memory(turn) {
            Continue(connection) => Outcome::Park(connection, phase),
            Break(outcome) => outcome,
        }
    }

    /// Returns the connection to the queue, because other connections wait for the worker.
    pub(super) fn yield_worker(&mut self, turn: &TurnContext<'_>) -> Outcome {
        match self.detach_within_memory(turn) {
            Continue(connection) => Outcome::Requeue(connection),
            Break(outcome) => outcome,
        }
    }

    /// Closes the connection at once, because its exchange cannot continue.
    pub(super) fn close_at_once(&mut self) -> Outcome {
        let reason = self.failure.unwrap_or(CloseReason::ClientGone);
        self.output.clear();
        match self.connection.take() {
            Some(connection) => Outcome::Close(connection, reason),
            None => Outcome::Gone,
        }
    }

    /// Detaches the connection. `Break`: there is no memory for its unfinished input, and it is
    /// closed.
    fn detach_within_memory(
        &mut self,
        turn: &TurnContext<'_>,
    ) -> ControlFlow<Outcome, Box<Connection>> {
        let Some(mut connection) = self.detach() else { return Break(Outcome::Gone) };
        if turn.lease_input(&mut connection) {
            return Continue(connection);
        }
        if !connection.has_unsent() {
            // One attempt: waiting for the client would need the memory that is missing.
            let _ = connection.wire.try_write(NO_MEMORY);
        }
        Break(Outcome::Close(connection, CloseReason::Overloaded))
    }
}
