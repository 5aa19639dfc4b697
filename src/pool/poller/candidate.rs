//! A parked connection as a candidate for closing, and what closing it would cost its client.

use std::time::Instant;

use crate::pool::connection::{Connection, Phase};
use crate::pool::overload::fairness::Bucket;
use crate::pool::poller::slots::{Slot, Tenant};
use crate::pool::poller::token::Token;

/// What closing a connection costs its client, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// It is kept between two requests: the client sends the next one on a new connection.
    Idle,
    /// It has never said anything.
    Silent,
    /// Its last response was sent, and the client's end is waited for.
    Completion,
    /// A part of a request's head has come.
    HalfHead,
    /// A body or a response is on its way.
    Midway,
}

impl Rank {
    pub(crate) fn of(connection: &Connection) -> Self {
        match connection.phase {
            Phase::Idle => Self::Idle,
            Phase::Head if connection.input.is_empty() && connection.requests == 0 => Self::Silent,
            Phase::Head => Self::HalfHead,
            Phase::Linger | Phase::Held => Self::Completion,
            Phase::Body | Phase::Discard | Phase::Write => Self::Midway,
        }
    }
}

/// A parked connection, as it was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate<B = Bucket> {
    pub(crate) token: Token,
    /// Whose it is.
    pub(crate) bucket: B,
    pub(crate) urgent: bool,
    pub(crate) rank: Rank,
    /// When its phase began.
    pub(crate) since: Instant,
}

impl Candidate {
    /// Whether it waits in this slot as it did when it was looked at.
    pub(crate) fn is_in(&self, slot: &Slot) -> bool {
        let Tenant::Parked(connection) = &slot.tenant else { return false };
        slot.generation == self.token.generation
            && connection.since == self.since
            && Rank::of(connection) == self.rank
    }
}
