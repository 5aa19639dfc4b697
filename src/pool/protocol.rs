//! [`Protocol`]: what is spoken on a connection, as far as the pool knows it.

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::config::Config;
use crate::error::Error;
use crate::net::Addr;
use crate::pool::client_waits::ClientWaits;
use crate::pool::connection::{Connection, Phase};
use crate::pool::output::Leased;
use crate::pool::overload::fairness::InService;
use crate::pool::overload::refusal::Refusal;
use crate::pool::server_view::ServerView;
use crate::pool::shared::Shared;
use crate::pool::upgrades::UpgradePermit;

/// A protocol on connections, such as HTTP.
///
/// A protocol makes one [`ProtocolWorker`] for each thread that serves. That worker owns the
/// buffers which its thread reuses from turn to turn.
///
/// # Edge-triggered polling
/// epoll reports a parked connection once for each arrival of input (`EPOLLET`, epoll(7)), and not
/// again while that input is unread. A protocol that parks a connection with unread input would
/// wait for an event that has already happened. So before it parks a connection to wait for input,
/// it reads until a read fails with `WouldBlock` (`EAGAIN`), or was short (fewer bytes than the
/// buffer had room for). Input that arrives between that read and the parking is not lost: the
/// poller keeps the event, and the connection is served again at once.
///
/// The connection records this for a protocol that serves several requests from one read:
///
/// - `unread` means that there may be input which no further event will report. It is set for a new
///   connection and by each event. The protocol clears it when a read fails with `WouldBlock`.
/// - `note_read` records a read, and clears `unread` if it was short. If the client has ended its
///   side, `unread` stays set: the end has been reported, and another read has to find it.
///
/// A connection may be parked in [`Phase::Write`] with unread input: the protocol reads it when it
/// gets the connection back. To stop reading for another reason, such as a turn for other
/// connections, the protocol returns [`Outcome::Requeue`].
pub(crate) trait Protocol: Send + Sync + 'static {
    /// Makes the worker of one thread.
    fn worker(&self) -> Box<dyn ProtocolWorker>;
}

/// The part of a [`Protocol`] that belongs to one thread.
pub(crate) trait ProtocolWorker: Send {
    /// Prepares the calling thread, which is the worker with this index, before the server accepts
    /// connections. It is called on the threads that serve, and not on those that only refuse.
    /// Default: nothing.
    ///
    /// # Errors
    /// The server does not start after an error.
    fn prepare(&mut self, index: usize) -> Result<(), Error> {
        let _ = index;
        Ok(())
    }

    /// Serves a connection that has input, or room for its unsent output. Handlers run here, and
    /// may block.
    fn serve(&mut self, connection: Box<Connection>, turn: &mut TurnContext<'_>) -> Outcome;

    /// Finds out for which client the peer, a trusted proxy, sends the next request, and sets that
    /// client in `Connection::forwarded`. Must not block. Returns [`Outcome::Requeue`], whether or
    /// not a client was found; or [`Outcome::Park`] if the request is not complete enough to tell,
    /// and there is nothing more to read. Default: the client is the peer.
    fn identify(&mut self, connection: Box<Connection>, turn: &mut TurnContext<'_>) -> Outcome {
        let _ = turn;
        Outcome::Requeue(connection)
    }

    /// As [`serve`](Self::serve), for a connection without TLS to a port that expects it. Default:
    /// closes the connection.
    fn serve_cleartext(
        &mut self,
        connection: Box<Connection>,
        turn: &mut TurnContext<'_>,
    ) -> Outcome {
        let _ = turn;
        Outcome::Close(connection, CloseReason::TlsFailed)
    }

    /// Refuses the connection's next request because of overload. Must not block. Default: closes
    /// the connection.
    fn refuse(
        &mut self,
        connection: Box<Connection>,
        turn: &mut TurnContext<'_>,
        refusal: Refusal,
    ) -> Outcome {
        let _ = (turn, refusal);
        Outcome::Close(connection, CloseReason::Overloaded)
    }

    /// The deadline of the connection's phase has passed, and the connection will be closed: the
    /// last chance to send the client a response. Must not block. Returns the reason for closing.
    /// Default: sends nothing.
    fn expire(&mut self, connection: &mut Connection, turn: &mut TurnContext<'_>) -> CloseReason {
        let _ = turn;
        match connection.phase {
            Phase::Write => CloseReason::WriteTimeout,
            Phase::Handshake => CloseReason::HandshakeTimeout,
            _ => CloseReason::IdleTimeout,
        }
    }
}

/// What becomes of a connection after its turn.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The connection waits in this phase without a worker.
    Park(Box<Connection>, Phase),
    /// The connection has more to do, and goes behind the work that waits.
    Requeue(Box<Connection>),
    /// The connection is closed for this reason.
    Close(Box<Connection>, CloseReason),
    /// The connection has left the pool.
    Gone,
}

impl Outcome {
    /// If the connection stays open, records on it that an exchange was completed.
    pub(crate) fn note_progress(&mut self) {
        if let Self::Park(connection, _) | Self::Requeue(connection) = self {
            connection.note_progress();
        }
    }
}

/// A connection's turn with a worker: what a protocol may know of the server.
pub(crate) struct TurnContext<'a> {
    /// The time at which the turn began.
    pub(crate) now: Instant,
    pub(super) shared: &'a Arc<Shared>,
    config: &'a Arc<Config>,
    /// The worker whose turn it is; `None` on other threads.
    pub(super) worker: Option<usize>,
    /// The service that this turn is counted as, and its client; `None` on other threads, and on
    /// the worker for urgent work.
    pub(super) in_service: Cell<Option<InService>>,
    /// How long the connection waited in the queue for this turn; zero if an idle worker found it
    /// ready.
    pub(crate) waited: Duration,
    /// Requests served in this turn.
    pub(super) requests: u32,
    /// How much of the turn went into sending long responses: the kernel's work, not a handler that
    /// blocks.
    pub(super) sending: Cell<Duration>,
    /// How much of the turn the worker waited for the client, in either direction. It is not a part
    /// of the service time: otherwise a slow client would look like a slow handler.
    pub(super) client_wait: Cell<Duration>,
    /// Whether a request was refused in this turn.
    refused: Cell<bool>,
    /// Method and path of a refused request, as far as it was read; `None` if they are not wanted.
    pub(super) refused_line: Option<String>,
}

impl<'a> TurnContext<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, config: &'a Arc<Config>, now: Instant) -> Self {
        Self {
            now,
            shared,
            config,
            worker: None,
            in_service: Cell::default(),
            waited: Duration::ZERO,
            requests: 0,
            sending: Cell::default(),
            client_wait: Cell::default(),
            refused: Cell::default(),
            refused_line: None,
        }
    }

    /// Whether other work waits for a worker, so that this connection's next request should be
    /// queued too.
    #[must_use]
    pub(crate) fn others_wait(&self) -> bool {
        !self.shared.queue.is_empty()
    }

    /// Whether any work waits, including work that was deferred because its clients have their
    /// share of the workers, and handshakes that are due. A request that was not admitted must not
    /// overtake it.
    pub(crate) fn anything_waits(&self) -> bool {
        let queue = &self.shared.queue;
        queue.has_any() || queue.has_starved_handshake(self.now)
    }

    /// Whether the server drains or is about to, so that each response closes its connection.
    #[must_use]
    pub(crate) fn is_leaving(&self) -> bool {
        self.shared.is_leaving()
    }

    /// The server's settings in this turn. They may differ in the next one: a worker that keeps
    /// values made from them compares by [`Arc::ptr_eq`].
    #[must_use]
    pub(crate) fn config(&self) -> &'a Arc<Config> {
        self.config
    }

    /// Whether a response can be ready within `timeout` of the request's arrival. If not, the
    /// request should be refused at once.
    ///
    /// The arrival of the first request of a turn is when its connection entered the queue; that of
    /// a later one, when the worker looks at it.
    ///
    /// `before`: how long it had waited by then, in a proxy.
    #[must_use]
    pub(crate) fn can_respond_within(&self, timeout: Duration, before: Duration) -> bool {
        let waited = if self.requests == 0 { self.waited } else { Duration::ZERO };
        let waited = waited + before;
        self.shared.queue.controller.can_meet_timeout(self.now, waited, timeout)
    }

    /// The request that was read is of this client, as a trusted proxy says: it counts for that
    /// client, and no longer for the one that was expected.
    pub(crate) fn serve_for(&self, connection: &mut Connection, client: Option<SocketAddr>) {
        let was_from_proxy = std::mem::replace(&mut connection.from_proxy, true);
        if !connection.set_forwarded(client) && was_from_proxy {
            return;
        }
        self.shared.count_for_client(connection);
        let controller = &self.shared.queue.controller;
        if let Some(before) = self.in_service.take() {
            controller.end_service(before, self.now, None);
            self.in_service.set(Some(controller.begin_service(connection.bucket, self.now)));
        }
    }

    /// When the request at hand arrived, and how long it has waited in the queue since. The
    /// requests behind the first one of a turn have not waited there.
    pub(crate) fn arrival(&self) -> (Instant, Duration) {
        match self.requests {
            0 => (self.now.checked_sub(self.waited).unwrap_or(self.now), self.waited),
            _ => (Instant::now(), Duration::ZERO),
        }
    }

    /// Counts a request of this client that was refused in this turn. `line`: its method and path.
    pub(crate) fn count_refusal(&self, client: &Addr, refusal: Refusal, line: [&str; 2]) {
        self.refused.set(true);
        self.shared.count_refusal(client, refusal, self.now, || refused_line(line));
    }

    /// The head of a request with this method and path was read, and it will be served.
    #[inline]
    pub(crate) fn note_request(&self, method: &str, path: &str) {
        if self.shared.counters.watch.is_on()
            && let Some(worker) = self.worker
        {
            self.shared.counters.reading(worker, method, path);
        }
    }

    /// The request that is refused in this turn has this method and path.
    pub(crate) fn note_refused_request(&mut self, method: &str, path: &str) {
        if let Some(line) = &mut self.refused_line {
            *line = refused_line([method, path]);
        }
    }

    /// Counts a final response with this status.
    pub(crate) fn count_response(&self, status: u16) {
        self.shared.counters.responded(self.worker, status);
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

    /// What requests may ask of the server.
    pub(crate) fn server_view(&self) -> ServerView {
        ServerView::new(self.shared)
    }

    /// Accounts for the memory of queued output. If the memory that all connections share is used
    /// up, the slowest readers are closed for it.
    pub(crate) fn lease_output(&self, connection: &mut Connection) -> Leased {
        let each = self.config.limits.pending;
        let unsent = connection.wire.unsent();
        match connection.output.lease(unsent, each, &self.shared.pending) {
            Leased::Full(bytes) if self.shared.free_output(bytes, Instant::now()) => {
                connection.output.lease(unsent, each, &self.shared.pending)
            }
            leased => leased,
        }
    }

    /// Accounts for the memory of unfinished input. `false`: the memory that all connections share
    /// is used up, even after the connections that use most of it were closed.
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

    /// A permit for one more upgraded connection; `None` at the limit.
    pub(crate) fn upgrade_permit(&self) -> Option<UpgradePermit> {
        self.shared.upgrades.try_acquire()
    }

    /// Moves a connection out of the pool: `run` is called with it on a new thread, which keeps the
    /// permit.
    pub(crate) fn upgrade(
        &self,
        permit: UpgradePermit,
        mut connection: Box<Connection>,
        run: impl FnOnce(Box<Connection>, StopSignal) + Send + 'static,
    ) {
        // Closing a socket takes it out of epoll, but this one stays open. Without the release,
        // epoll would wake the leader for its input, and its slot would never be free again.
        self.shared.poller.release(&mut connection);
        let stop = StopSignal(Arc::clone(self.shared));
        self.shared.upgrades.run(permit, Box::new(move || run(connection, stop)));
    }

    /// Counts a request that got its response.
    pub(crate) fn count_request(&mut self) {
        self.requests += 1;
    }

    /// Whether an exchange was completed in this turn, by a response or a refusal.
    pub(super) fn made_progress(&self) -> bool {
        self.requests > 0 || self.refused.get()
    }
}

/// The start of a request line, as the admin endpoint shows it.
fn refused_line(line: [&str; 2]) -> String {
    line.join(" ").chars().take(72).collect()
}

impl fmt::Debug for TurnContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnContext").field("now", &self.now).finish_non_exhaustive()
    }
}

/// Notifies a thread outside of the pool when the server stops: it is readable from then on.
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
