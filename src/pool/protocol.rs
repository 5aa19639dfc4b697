//! [`Protocol`]: what is spoken on a connection. The pool knows no more of it than this.

use std::cell::Cell;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::config::Config;
use crate::pool::client_waits::ClientWaits;
use crate::pool::connection::{Connection, Phase};
use crate::pool::output::Leased;
use crate::pool::overload::refusal::Refusal;
use crate::pool::shared::Shared;
use crate::pool::upgrades::UpgradePermit;

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
    pub(super) shared: &'a Arc<Shared>,
    config: &'a Arc<Config>,
    /// How long the connection waited in the queue for this turn; zero for one that an idle worker
    /// found ready.
    pub waited: Duration,
    /// Requests served in this turn.
    pub(super) requests: u32,
    /// How much of the turn went into sending long answers: the kernel's work, not a handler that
    /// blocks.
    pub(super) sending: Cell<Duration>,
    /// How much of the turn the worker spent waiting for the client, in either direction. It is no
    /// part of the service time: a slow client would otherwise pass for a slow handler.
    pub(super) client_wait: Cell<Duration>,
    /// Whether a request was turned away in this turn.
    refused: Cell<bool>,
}

impl<'a> TurnContext<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, config: &'a Arc<Config>, now: Instant) -> Self {
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

    /// How many requests were served in this turn.
    pub(crate) fn requests(&self) -> u32 {
        self.requests
    }

    /// Counts time that went into sending a long response.
    pub(crate) fn add_sending(&self, time: Duration) {
        self.sending.set(self.sending.get() + time);
    }

    /// Counts time in which the worker waited for the client.
    pub(crate) fn add_client_wait(&self, time: Duration) {
        self.client_wait.set(self.client_wait.get() + time);
    }

    /// Counts a panic of the handler.
    pub(crate) fn count_panic(&self) {
        self.shared.counters.panicked();
    }

    /// Whether handlers take so long that a response should not wait for the next one.
    pub(crate) fn handlers_are_slow(&self) -> bool {
        self.shared.leader.handlers_are_slow()
    }

    /// The bound on workers that wait for clients.
    pub(crate) fn client_waits(&self) -> &Arc<ClientWaits> {
        &self.shared.client_waits
    }

    /// Accounts for the memory of queued output. If the memory that all connections share is used up,
    /// the slowest readers are closed for it.
    pub(crate) fn lease_output(&self, connection: &mut Connection) -> Leased {
        let each = self.config.limits.pending;
        match connection.output.lease(each, &self.shared.pending) {
            Leased::Full(bytes) if self.shared.free_output(bytes, Instant::now()) => {
                connection.output.lease(each, &self.shared.pending)
            }
            leased => leased,
        }
    }

    /// Accounts for the memory of unfinished input. `false`: the memory that all connections share is
    /// used up, also after those that hold most of it were closed.
    pub(crate) fn lease_input(&self, connection: &mut Connection) -> bool {
        let bytes = connection.input.capacity();
        if bytes == 0 {
            return true;
        }
        connection.input_lease = self.shared.input.lease(bytes);
        if connection.input_lease.is_none() && self.shared.free_input(bytes, Instant::now()) {
            connection.input_lease = self.shared.input.lease(bytes);
        }
        connection.input_lease.is_some()
    }

    /// A permit for one more upgraded connection; `None` if there are as many as may be.
    pub(crate) fn upgrade_permit(&self) -> Option<UpgradePermit> {
        self.shared.upgrades.enter()
    }

    /// Lets a connection leave the pool: `run` gets it on a thread of its own, which keeps the permit.
    pub(crate) fn upgrade(
        &self,
        permit: UpgradePermit,
        mut connection: Box<Connection>,
        run: impl FnOnce(Box<Connection>, StopSignal) + Send + 'static,
    ) {
        // epoll must not report a socket whose slot is given away.
        self.shared.poller.release(&mut connection);
        let stop = StopSignal(Arc::clone(self.shared));
        self.shared.upgrades.run(permit, Box::new(move || run(connection, stop)));
    }

    /// Counts a request that was answered.
    pub fn count_request(&mut self) {
        self.requests += 1;
    }

    /// Whether an exchange was completed in this turn, be it by an answer or a refusal.
    pub(super) fn is_progress(&self) -> bool {
        self.requests > 0 || self.refused.get()
    }
}

impl fmt::Debug for TurnContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnContext").field("now", &self.now).finish_non_exhaustive()
    }
}

/// Tells a thread outside of the pool when the server stops: it is readable from then on.
pub(crate) struct StopSignal(Arc<Shared>);

impl StopSignal {
    /// Whether the server is stopping.
    pub(crate) fn is_draining(&self) -> bool {
        self.0.is_draining()
    }
}

impl AsFd for StopSignal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.stopping.as_fd()
    }
}
