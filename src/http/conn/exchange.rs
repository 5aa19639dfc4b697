//! [`Exchange`]: the connection while a request is served.
//!
//! A worker puts the connection into its [`ExchangeCell`] for a turn, and takes it out at the end
//! of the turn. The request and its body share the cell, so they are ordinary values that a handler
//! may keep, move to another thread, or use in the response. Each exchange has a number: a handle
//! from an earlier exchange finds another number in the cell, and every read through it fails. The
//! connection therefore has one owner at any time, the worker.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, TryLockError};
use std::time::{Duration, Instant};

use http::HeaderMap;

use super::awaited_body::AwaitedBody;
use super::buffer::ReadBuffer;
use crate::close::CloseReason;
use crate::config::Config;
use crate::http::codec::body::BodyDecoder;
use crate::http::codec::request::Framing;
use crate::http::message::BodyFault;
use crate::net::Interest;
use crate::pool::cancel::{CancelSlot, CancelSource};
use crate::pool::client_waits::{ClientWaits, Pace, Waited};
use crate::pool::server_view::ServerView;
use crate::pool::{Cancel, CancelReason, Connection, TurnContext};
use crate::sync::lock;

/// The lock through which a worker, and the request that it serves, share an exchange.
#[derive(Debug)]
pub(crate) struct ExchangeCell {
    exchange: Mutex<Exchange>,
    /// The server that the worker belongs to; not set before the first turn.
    server: OnceLock<ServerView>,
}

impl ExchangeCell {
    pub(crate) fn new(config: &Arc<Config>) -> Arc<Self> {
        let exchange = Mutex::new(Exchange::new(config));
        Arc::new(Self { exchange, server: OnceLock::new() })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Exchange> {
        lock(&self.exchange)
    }

    /// The server that serves the request.
    pub(crate) fn server(&self) -> Option<&ServerView> {
        self.server.get()
    }

    /// Starts a turn; see [`Exchange::attach`].
    pub(super) fn attach(&self, connection: Box<Connection>, turn: &TurnContext<'_>) {
        self.server.get_or_init(|| turn.server_view());
        self.lock().attach(connection, turn.client_waits());
    }

    /// Ends the exchange: its handles become invalid, and its callbacks never run any more. Returns
    /// how long the worker waited for the client.
    pub(super) fn end(&self) -> Duration {
        let mut exchange = self.lock();
        let waited = exchange.end();
        let cancel = exchange.cancel.take();
        if cancel.is_some()
            && let Some(slot) = &exchange.cancel_slot
        {
            slot.clear();
        }
        drop(exchange);
        if let Some(cancel) = cancel {
            // Without the lock: a callback that runs at this moment may wait for it.
            cancel.end();
        }
        waited
    }

    /// The cancellation of the exchange with this number, which is registered at the first call:
    /// when a worker took its request, and the request's deadline. `None` if the exchange is over.
    pub(crate) fn cancelled(
        self: &Arc<Self>,
        number: u64,
        times: (Instant, Instant),
    ) -> Option<Cancel> {
        let server = self.server()?;
        let mut exchange = self.lock();
        if exchange.number != number {
            return None;
        }
        if exchange.cancel.is_none() {
            let cell: Arc<dyn CancelSource> = Arc::<Self>::clone(self);
            let source = Arc::downgrade(&cell);
            let cancel = server.watch(&mut exchange.cancel_slot, source, number, times);
            exchange.cancel = Some(cancel);
        }
        exchange.cancel.clone()
    }
}

impl CancelSource for ExchangeCell {
    fn try_socket(&self, number: u64) -> Option<Box<dyn AsFd + '_>> {
        let exchange = match self.exchange.try_lock() {
            Ok(exchange) => exchange,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // A worker reads the body, or sends the response: it finds out by itself.
            Err(TryLockError::WouldBlock) => return None,
        };
        let is_current = exchange.number == number && exchange.connection.is_some();
        is_current.then(|| Box::new(LockedSocket(exchange)) as Box<dyn AsFd>)
    }
}

/// The socket of an exchange that no other thread uses meanwhile.
struct LockedSocket<'a>(MutexGuard<'a, Exchange>);

impl AsFd for LockedSocket<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let connection = self.0.connection.as_ref();
        connection.expect("it was there when the lock was taken").wire.as_fd()
    }
}

/// A connection with its current request and response.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The number of the exchange. Handles with another number are invalid.
    pub(crate) number: u64,
    pub(crate) connection: Option<Box<Connection>>,
    pub(crate) input: ReadBuffer,
    /// Responses that are encoded and not sent yet.
    pub(crate) output: Vec<u8>,
    /// Whether anything was sent since this was last set to false.
    pub(crate) flushed: bool,
    pub(crate) body: BodyDecoder,
    /// The length of the request's body, if it was announced.
    pub(crate) length: Option<u64>,
    /// Whether the client waits for a `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    /// Whether the head of the response is encoded. No interim response may follow it.
    pub(crate) responding: bool,
    /// The short body that the connection waits for, before the handler is called.
    pub(crate) awaited: Option<Box<AwaitedBody>>,
    /// Why the request cannot be read, or the response sent, to the end.
    pub(crate) failure: Option<CloseReason>,
    pub(crate) trailers: Option<HeaderMap>,
    /// Bytes of the body that were discarded after the response.
    pub(crate) discarded: u64,
    /// How fast the request's body arrives, while a worker waits for it.
    pub(super) reading: Pace,
    /// How fast the client reads the response, while a worker waits for it.
    pub(super) writing: Pace,
    /// The limit on workers that wait for clients; `None` before the first turn.
    pub(super) waits: Option<Arc<ClientWaits>>,
    /// Where the worker registers requests for cancellation, once a handler has asked for that.
    cancel_slot: Option<Arc<CancelSlot>>,
    /// The cancellation of the current request, if its handler has asked for it.
    cancel: Option<Cancel>,
    pub(crate) config: Arc<Config>,
}

/// The rest of a body that the handler did not read, stored with the connection that waits for it.
#[derive(Debug)]
struct UnreadBody {
    rest: BodyDecoder,
    discarded: u64,
}

impl Exchange {
    fn new(config: &Arc<Config>) -> Self {
        Self {
            number: 0,
            connection: None,
            input: ReadBuffer::new(),
            output: Vec::with_capacity(4096),
            flushed: false,
            body: BodyDecoder::new(&Framing::None, &config.limits),
            length: None,
            expects_continue: false,
            responding: false,
            awaited: None,
            failure: None,
            trailers: None,
            discarded: 0,
            reading: Pace::default(),
            writing: Pace::default(),
            waits: None,
            cancel_slot: None,
            cancel: None,
            config: Arc::clone(config),
        }
    }

    /// Replaces the configuration, from the next exchange on.
    pub(crate) fn reconfigure(&mut self, config: &Arc<Config>) {
        self.config = Arc::clone(config);
    }

    /// Starts a turn: takes the connection, with the state that the previous turn stored in it.
    pub(crate) fn attach(&mut self, mut connection: Box<Connection>, waits: &Arc<ClientWaits>) {
        if self.waits.is_none() {
            self.waits = Some(Arc::clone(waits));
        }
        connection.input_lease = None;
        self.input.load(std::mem::take(&mut connection.input));
        self.awaited = connection.awaited.take().and_then(|awaited| awaited.downcast().ok());
        let unread = connection.unfinished.take().and_then(|left| left.downcast().ok());
        if let Some(unread) = unread {
            UnreadBody { rest: self.body, discarded: self.discarded } = *unread;
        } else if !self.body.is_done() {
            self.body = BodyDecoder::new(&Framing::None, &self.config.limits);
        }
        self.failure = None;
        self.connection = Some(connection);
    }

    /// Ends a turn: returns the connection, and stores the state of the exchange in it.
    pub(crate) fn detach(&mut self) -> Option<Box<Connection>> {
        let mut connection = self.connection.take()?;
        connection.input = self.input.unload();
        if let Some(awaited) = self.awaited.take() {
            connection.awaited = Some(awaited);
        }
        if !self.body.is_done() {
            let none = BodyDecoder::new(&Framing::None, &self.config.limits);
            let rest = std::mem::replace(&mut self.body, none);
            connection.unfinished = Some(Box::new(UnreadBody { rest, discarded: self.discarded }));
        }
        Some(connection)
    }

    /// Whether a part of a head has arrived. An empty line is not a part of one.
    pub(crate) fn is_within_head(&self) -> bool {
        self.body.is_done() && !matches!(self.input.filled(), b"" | b"\r" | b"\r\n")
    }

    /// Begins an exchange after its head was read: the next input is the body.
    pub(crate) fn begin(&mut self, framing: &Framing, expects_continue: bool) {
        self.number += 1;
        self.body = BodyDecoder::new(framing, &self.config.limits);
        self.length = match framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(*length),
            Framing::Chunked => None,
        };
        self.expects_continue = expects_continue && !self.body.is_done();
        self.responding = false;
        self.failure = None;
        self.trailers = None;
        self.discarded = 0;
        self.reading = Pace::default();
        self.writing = Pace::default();
    }

    /// Ends the exchange: its handles become invalid. Returns how long the worker waited for the
    /// client.
    pub(crate) fn end(&mut self) -> Duration {
        self.number += 1;
        std::mem::take(&mut self.reading).waited + std::mem::take(&mut self.writing).waited
    }

    /// Waits on the worker until the socket can be read or written, within the timeout and the
    /// minimum rate of that direction. `error` is returned if the worker may not wait.
    pub(super) fn wait_for_client(
        &mut self,
        interest: Interest,
        error: io::Error,
    ) -> io::Result<()> {
        let (Some(connection), Some(waits)) = (&self.connection, &self.waits) else {
            return Err(error);
        };
        let timeouts = &self.config.timeouts;
        let (timeout, pace, too_slow) = match interest {
            Interest::Read => (timeouts.body, &mut self.reading, CloseReason::BodyTimeout),
            Interest::Write => (timeouts.write, &mut self.writing, CloseReason::WriteTimeout),
        };
        match waits.wait((connection.wire.stream(), interest), timeout, timeouts, pace)? {
            Waited::Ready => Ok(()),
            Waited::TooSlow => Err(self.fail(too_slow)),
            Waited::NoRoom => Err(self.fail(CloseReason::Overloaded)),
        }
    }

    /// Records why the exchange cannot continue.
    pub(super) fn fail(&mut self, reason: CloseReason) -> io::Error {
        self.failure = Some(reason);
        if reason == CloseReason::ClientGone
            && let Some(cancel) = &self.cancel
        {
            cancel.set(CancelReason::ClientGone);
        }
        BodyFault::Cut(reason).into()
    }
}
