//! A parked connection as a candidate for closing, and what closing it would cost its client.

use std::time::Instant;

use crate::pool::connection::{Connection, Phase};
use crate::pool::overload::fairness::Bucket;
use crate::pool::poller::slots::{Slot, Tenant};
use crate::pool::poller::token::Token;

/// What closing a connection costs its client, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// It is kept between two requests. The client opens a new one for the next request.
    Idle,
    /// It has never sent anything.
    Silent,
    /// Its last response was sent, and it waits for the end of the client's side.
    Closing,
    /// A part of a request's head has come.
    HalfHead,
    /// A body or a response is on its way.
    Midway,
}

impl Rank {
    pub(crate) fn of(connection: &Connection) -> Self {
        match connection.phase {
            Phase::Idle => Self::Idle,
            Phase::Handshake if connection.wire.is_silent() => Self::Silent,
            Phase::Handshake => Self::HalfHead,
            Phase::Head if connection.input.is_empty() && connection.requests == 0 => Self::Silent,
            Phase::Head => Self::HalfHead,
            Phase::Linger | Phase::Held => Self::Closing,
            Phase::Body | Phase::Discard | Phase::Write => Self::Midway,
        }
    }
}

/// A parked connection as it was when [`Poller::waiting`](super::Poller::waiting) looked at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate<B = Bucket> {
    pub(crate) token: Token,
    /// Its client.
    pub(crate) bucket: B,
    pub(crate) urgent: bool,
    /// Whether its peer is a trusted proxy.
    pub(crate) from_proxy: bool,
    pub(crate) rank: Rank,
    /// When its phase began.
    pub(crate) since: Instant,
}

impl Candidate {
    /// Whether it waits in this slot as it did at the look.
    pub(crate) fn is_in(&self, slot: &Slot) -> bool {
        let Tenant::Parked(connection) = &slot.tenant else { return false };
        slot.generation == self.token.generation
            && connection.since == self.since
            && Rank::of(connection) == self.rank
    }
}
