//! [`Connection`]: a socket with its buffers, phase and deadline. It moves whole from owner to owner.

use std::any::Any;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::config::Timeouts;
use crate::net::{Addr, Stream};
use crate::pool::fairness::Bucket;
use crate::pool::ledger::Permit;
use crate::pool::output::Output;
use crate::pool::slots::Token;

/// What a connection waits for while it is parked. Each phase has its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The rest of a request's head, or the first bytes of a new connection.
    Head,
    /// The rest of a short body, before the handler is called.
    Body,
    /// The next request.
    Idle,
    /// The rest of a body that nobody wants, after its answer.
    Discard,
    /// Room to send the rest of an answer.
    Write,
    /// The peer's end, after this end has been shut down (lingering close).
    Linger,
}

impl Phase {
    pub(crate) fn timeout(self, timeouts: &Timeouts) -> Duration {
        match self {
            Self::Head => timeouts.head,
            Self::Idle => timeouts.idle,
            Self::Body | Self::Discard => timeouts.body,
            Self::Write => timeouts.write,
            Self::Linger => timeouts.linger,
        }
    }
}

/// A connected socket on its way through the server.
///
/// It has exactly one owner at any moment: the queue, a worker, or parking. Dropping it closes the
/// socket, counts its [`CloseReason`] and gives its place to a newcomer.
#[derive(Debug)]
pub struct Connection {
    pub(crate) stream: Stream,
    pub(crate) peer: Addr,
    /// Bytes that were read but belong to no complete request yet; empty, it owns no memory.
    pub(crate) input: Vec<u8>,
    /// How far the input was searched for the end of a head.
    pub(crate) scanned: usize,
    pub(crate) output: Output,
    /// What its protocol has to remember while it is on its way: of a body that is to be thrown away,
    /// how much has come. It is not for another request then, and not judged as one.
    pub(crate) unfinished: Option<Box<dyn Any + Send>>,
    pub(crate) phase: Phase,
    /// When the phase began: the deadline is counted from here.
    pub(crate) since: Instant,
    pub(crate) opened: Instant,
    /// Requests answered so far.
    pub(crate) requests: u64,
    /// Where it is registered with epoll, once it has been parked for the first time.
    pub(crate) token: Option<Token>,
    pub(crate) bucket: Bucket,
    /// Which of the server's protocols it speaks.
    pub(crate) protocol: u16,
    /// Whether it came through a listener whose work is taken first.
    pub(crate) urgent: bool,
    /// Whether epoll watches for room to write.
    pub(crate) watches_write: bool,
    /// Whether there may be input that no further event will tell of.
    pub(crate) unread: bool,
    /// Whether the peer has ended its side: input that was read whole is followed by the end.
    pub(crate) peer_ended: bool,
    /// Set once an answer that ends the connection is on its way: why it will be closed.
    pub(crate) closing: Option<CloseReason>,
    permit: Permit,
}

impl Connection {
    pub(crate) fn new(
        (stream, peer): (Stream, Addr),
        protocol: u16,
        urgent: bool,
        bucket: Bucket,
        permit: Permit,
        now: Instant,
    ) -> Box<Self> {
        Box::new(Self {
            stream,
            peer,
            input: Vec::new(),
            scanned: 0,
            output: Output::default(),
            unfinished: None,
            phase: Phase::Head,
            since: now,
            opened: now,
            requests: 0,
            token: None,
            bucket,
            protocol,
            urgent,
            watches_write: false,
            unread: true,
            peer_ended: false,
            closing: None,
            permit,
        })
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The peer's address, as accept(2) gave it.
    #[must_use]
    pub fn peer(&self) -> &Addr {
        &self.peer
    }

    /// Whether it is in the middle of something that was admitted before, rather than at a new request.
    pub(crate) fn is_continuing(&self) -> bool {
        !self.output.is_empty() || self.unfinished.is_some() || self.closing.is_some()
    }

    /// Enters a phase. A phase that goes on keeps the time it began, so that a client cannot
    /// stretch a deadline by sending byte after byte; room to write is counted from the last piece
    /// taken.
    pub(crate) fn enter(&mut self, phase: Phase, now: Instant) {
        if self.phase != phase || phase == Phase::Write {
            self.phase = phase;
            self.since = now;
        }
    }

    /// epoll has told of it.
    pub(crate) fn note_event(&mut self, peer_ended: bool) {
        self.unread = true;
        self.peer_ended |= peer_ended;
    }

    /// Something was read; `all`: as far as that call could tell, everything (a short read).
    pub(crate) fn note_read(&mut self, all: bool) {
        self.unread = !all || self.peer_ended;
    }

    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> Instant {
        self.since + self.phase.timeout(timeouts)
    }

    /// Says why the connection ends, and ends it.
    pub(crate) fn close(mut self: Box<Self>, reason: CloseReason) {
        log::debug!("{}: closed: {reason}", self.peer);
        self.permit.reason = reason;
    }

    /// Says why the connection will have ended, should it be dropped from now on.
    pub(crate) fn set_reason(&mut self, reason: CloseReason) {
        self.permit.reason = reason;
    }
}
