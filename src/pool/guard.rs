//! Panics: one costs the connection that is being served, and nothing else.
//!
//! A protocol is the program author's code. It runs on the workers, on the acceptor (which refuses)
//! and on the monitor (which closes what is overdue). A [`GuardedWorker`] catches its panics. Each
//! thread runs in [`persist`], which catches all others, so that no thread ends while the server
//! runs.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::error::{Error, ErrorKind};
use crate::pool::connection::Connection;
use crate::pool::overload::refusal::Refusal;
use crate::pool::poller::token::Token;
use crate::pool::protocol::{Outcome, Protocol, ProtocolWorker, TurnContext};
use crate::pool::shared::Shared;

/// The pause of a thread after a panic: from the first to the last, doubled with each panic.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));
/// After this time without a panic the next pause is the shortest again.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// The protocols that a server speaks. A connection has the number of its own.
#[derive(Clone)]
pub(crate) struct Protocols(Arc<[Arc<dyn Protocol>]>);

impl FromIterator<Arc<dyn Protocol>> for Protocols {
    fn from_iter<I: IntoIterator<Item = Arc<dyn Protocol>>>(protocols: I) -> Self {
        Self(protocols.into_iter().collect())
    }
}

impl fmt::Debug for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} protocols", self.0.len())
    }
}

/// A thread's workers of the server's protocols, one for each.
pub(crate) struct ProtocolWorkers {
    protocols: Protocols,
    workers: Vec<GuardedWorker>,
}

impl ProtocolWorkers {
    pub(crate) fn new(protocols: &Protocols) -> Self {
        let workers = protocols.0.iter().map(GuardedWorker::new).collect();
        Self { protocols: protocols.clone(), workers }
    }

    /// Prepares the calling thread, which is the worker with this index. A panic is an error.
    pub(crate) fn prepare(&mut self, index: usize) -> Result<(), Error> {
        self.workers.iter_mut().try_for_each(|worker| {
            let worker = worker.worker.as_mut();
            let result = catch_unwind(AssertUnwindSafe(|| worker.prepare(index)));
            result.unwrap_or_else(|_| {
                let message = format!("worker-{index} panicked while it was prepared");
                Err(Error::new(ErrorKind::Worker, message))
            })
        })
    }

    /// Makes new ones, as a panic of the thread may have left these in any state.
    pub(crate) fn renew(&mut self) {
        *self = Self::new(&self.protocols);
    }

    /// The worker of the protocol with this number.
    pub(crate) fn of(&mut self, protocol: u16) -> &mut dyn ProtocolWorker {
        &mut self.workers[usize::from(protocol)]
    }
}

/// A thread's worker of one protocol. A panic may leave it in any state, so that a new one is made.
struct GuardedWorker {
    protocol: Arc<dyn Protocol>,
    worker: Box<dyn ProtocolWorker>,
}

impl GuardedWorker {
    fn new(protocol: &Arc<dyn Protocol>) -> Self {
        Self { protocol: Arc::clone(protocol), worker: protocol.worker() }
    }

    /// Calls the protocol with a connection. A panic drops the connection as the stack unwinds.
    fn call<'a, F>(
        &mut self,
        mut connection: Box<Connection>,
        turn: &mut TurnContext<'a>,
        call: F,
    ) -> Outcome
    where
        F: FnOnce(&mut dyn ProtocolWorker, Box<Connection>, &mut TurnContext<'a>) -> Outcome,
    {
        let token = connection.token;
        // Counted if a panic drops the connection. Without a panic, `close` sets another reason.
        connection.set_reason(CloseReason::HandlerPanicked);
        let worker = self.worker.as_mut();
        match catch_unwind(AssertUnwindSafe(|| call(worker, connection, turn))) {
            Ok(outcome) => outcome,
            Err(_) => {
                self.replace(turn, token);
                Outcome::Gone
            }
        }
    }

    /// Counts a panic, and makes a new worker. Frees the connection's slot, unless it was freed
    /// before.
    #[cold]
    fn replace(&mut self, turn: &TurnContext<'_>, token: Option<Token>) {
        turn.shared.poller.forget(token);
        turn.shared.counters.panicked();
        log::error!("protocol panicked; its connection is closed");
        self.worker = self.protocol.worker();
    }
}

impl ProtocolWorker for GuardedWorker {
    fn serve(&mut self, connection: Box<Connection>, turn: &mut TurnContext<'_>) -> Outcome {
        self.call(connection, turn, |worker, connection, turn| worker.serve(connection, turn))
    }

    fn serve_cleartext(
        &mut self,
        connection: Box<Connection>,
        turn: &mut TurnContext<'_>,
    ) -> Outcome {
        self.call(connection, turn, |worker, connection, turn| {
            worker.serve_cleartext(connection, turn)
        })
    }

    fn refuse(
        &mut self,
        connection: Box<Connection>,
        turn: &mut TurnContext<'_>,
        refusal: Refusal,
    ) -> Outcome {
        self.call(connection, turn, |worker, connection, turn| {
            worker.refuse(connection, turn, refusal)
        })
    }

    fn identify(&mut self, connection: Box<Connection>, turn: &mut TurnContext<'_>) -> Outcome {
        self.call(connection, turn, |worker, connection, turn| worker.identify(connection, turn))
    }

    fn expire(&mut self, connection: &mut Connection, turn: &mut TurnContext<'_>) -> CloseReason {
        let worker = self.worker.as_mut();
        match catch_unwind(AssertUnwindSafe(|| worker.expire(connection, turn))) {
            Ok(reason) => reason,
            Err(_) => {
                // The caller owns the connection, and closes it.
                self.replace(turn, None);
                CloseReason::HandlerPanicked
            }
        }
    }
}

/// Runs a thread's `work` until it returns. A panic is counted and logged; after a pause, `recover`
/// repairs the thread's state and `work` is called again.
pub(crate) fn persist<T>(
    shared: &Shared,
    thread: &mut T,
    recover: impl Fn(&mut T),
    work: impl Fn(&mut T),
) {
    let mut pause = PAUSE.0;
    let mut panicked = false;
    loop {
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| {
            if panicked {
                recover(thread);
            }
            work(thread);
        }));
        if result.is_ok() {
            return;
        }
        panicked = true;
        shared.counters.panicked();
        let name = std::thread::current();
        let name = name.name().unwrap_or("a thread").to_owned();
        if began.elapsed() > WELL_AFTER {
            pause = PAUSE.0;
        }
        log::error!("{name} panicked, and continues in {pause:?}");
        shared.connections.completion.wait(Some(Instant::now() + pause), || shared.is_stopped());
        if shared.is_stopped() {
            return;
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}
