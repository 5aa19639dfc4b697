//! [`Protocol`]: what is spoken on a connection. The pool knows no more of it than this.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::config::Config;
use crate::pool::Shared;
use crate::pool::connection::{Connection, Phase};
use crate::pool::overload::refusal::Refusal;

/// What is spoken on a connection.
///
/// A protocol makes one [`ProtocolWorker`] for each thread that serves; the protocol owns whatever
/// buffers that thread reuses from turn to turn.
pub trait Protocol: Send + Sync + 'static {
    /// A new protocol.
    fn worker(&self) -> Box<dyn ProtocolWorker>;
}

/// A thread's place at a [`Protocol`].
pub trait ProtocolWorker: Send {
    /// Serves a connection that has input, or room for what it still has to send. Handlers run
    /// here, and may block.
    fn serve(&mut self, connection: Box<Connection>, turn: &mut TurnContext<'_>) -> Outcome;

    /// Turns away what the connection has to say, because of overload. Must not block.
    fn refuse(
        &mut self,
        connection: Box<Connection>,
        turn: &mut TurnContext<'_>,
        refusal: Refusal,
    ) -> Outcome;

    /// The connection's phase has outlived its deadline: the last chance to say so to the client.
    /// Must not block.
    fn expire(&mut self, connection: &mut Connection, turn: &mut TurnContext<'_>) -> CloseReason;
}

/// What becomes of a connection after its turn.
#[derive(Debug)]
pub enum Outcome {
    /// It waits, holding no worker.
    Park(Box<Connection>, Phase),
    /// It has more to do now, but others are to have their turn before.
    Requeue(Box<Connection>),
    /// It ends.
    Close(Box<Connection>, CloseReason),
    /// It has left the pool, to end elsewhere.
    Gone,
}

impl Outcome {
    /// An exchange was completed on the connection, if it goes on.
    pub(crate) fn note_progress(&mut self) {
        if let Self::Park(connection, _) | Self::Requeue(connection) = self {
            connection.note_progress();
        }
    }
}

/// A connection's turn with a worker: what the protocol may know of the world around it.
pub struct TurnContext<'a> {
    /// The time at which the turn began.
    pub now: Instant,
    pub(crate) shared: &'a Arc<Shared>,
    config: &'a Arc<Config>,
    /// How long the connection waited in the queue for this turn; zero for one that an idle worker
    /// found ready.
    pub waited: Duration,
    /// Requests served in this turn.
    pub(crate) requests: u32,
    /// How much of the turn went into sending long answers: the kernel's work, not a handler that
    /// blocks.
    pub(crate) sending: Cell<Duration>,
    /// How much of the turn the worker spent waiting for the client, in either direction. It is no
    /// part of the service time: a slow client would otherwise pass for a slow handler.
    pub(crate) client_wait: Cell<Duration>,
    /// Whether a request was turned away in this turn.
    refused: Cell<bool>,
}

impl<'a> TurnContext<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, config: &'a Arc<Config>, now: Instant) -> Self {
        Self {
            now,
            shared,
            config,
            waited: Duration::ZERO,
            requests: 0,
            sending: Cell::default(),
            client_wait: Cell::default(),
            refused: Cell::default(),
        }
    }

    /// Whether others wait for a worker, so that this connection's next request should queue too.
    #[must_use]
    pub fn others_wait(&self) -> bool {
        !self.shared.queue.is_empty()
    }

    /// Whether any work waits, such as was put aside because its clients hold their part of the
    /// workers included: a request that was not admitted is not to be served before it is judged
    /// like that.
    pub(crate) fn anything_waits(&self) -> bool {
        self.shared.queue.has_any()
    }

    /// Whether the server is stopping, so that connections are to be closed.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    /// The server's settings, as they are for this turn. They may be others in the next one: a
    /// protocol that keeps what it made from them compares by [`Arc::ptr_eq`].
    #[must_use]
    pub fn config(&self) -> &'a Arc<Config> {
        self.config
    }

    /// Whether a client that waits for `patience` from the arrival of its request on can be
    /// answered by then. If not, it had better be told so at once.
    ///
    /// A request counts as arrived when its connection entered the queue; those behind the first
    /// one of a turn, when they are looked at.
    #[must_use]
    pub fn can_answer_within(&self, patience: Duration) -> bool {
        let waited = if self.requests == 0 { self.waited } else { Duration::ZERO };
        self.shared.queue.controller.can_answer(self.now, waited, patience)
    }

    /// Counts a request that was turned away in this turn.
    pub fn count_refusal(&self, refusal: Refusal) {
        self.refused.set(true);
        self.shared.counters.refuse(refusal);
    }

    /// Counts a request that was answered.
    pub fn count_request(&mut self) {
        self.requests += 1;
    }

    /// Whether an exchange was completed in this turn, be it by an answer or a refusal.
    pub(crate) fn is_progress(&self) -> bool {
        self.requests > 0 || self.refused.get()
    }
}

impl fmt::Debug for TurnContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnContext").field("now", &self.now).finish_non_exhaustive()
    }
}
