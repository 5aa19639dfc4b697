//! The work queue: a bounded channel of tickets between those who bring work and the workers.

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::pool::connection::Connection;
use crate::pool::fairness::Bucket;
use crate::pool::overload::{Controller, Refusal, Verdict};

/// Work, and when it came.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) work: Work,
    pub(crate) entered: Instant,
    bucket: Bucket,
}

/// What a worker can be asked to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Serve a connection: a newcomer, or one that became ready.
    Connection(Box<Connection>),
    /// Go on with a connection whose request was admitted before: it is not judged again.
    Continuation(Box<Connection>),
}

impl Work {
    /// A connection that is ready: what was begun is gone on with, what is new is judged.
    pub(crate) fn of(connection: Box<Connection>) -> Self {
        if connection.is_continuing() {
            Self::Continuation(connection)
        } else {
            Self::Connection(connection)
        }
    }

    pub(crate) fn into_connection(self) -> Box<Connection> {
        match self {
            Self::Connection(connection) | Self::Continuation(connection) => connection,
        }
    }

    fn connection(&self) -> &Connection {
        match self {
            Self::Connection(connection) | Self::Continuation(connection) => connection,
        }
    }
}

/// Two bounded channels, urgent work first, and the [`Controller`] that keeps the wait short.
#[derive(Debug)]
pub(crate) struct Queue {
    normal: (Sender<Ticket>, Receiver<Ticket>),
    urgent: (Sender<Ticket>, Receiver<Ticket>),
    pub(crate) controller: Controller,
}

impl Queue {
    pub(crate) fn new(capacity: usize, controller: Controller) -> Self {
        Self { normal: bounded(capacity), urgent: bounded(capacity), controller }
    }

    /// Puts work in, or gives it back with the reason. Never waits.
    pub(crate) fn push(&self, work: Work, now: Instant) -> Result<(), (Work, Refusal)> {
        let connection = work.connection();
        let (bucket, urgent) = (connection.bucket, connection.urgent);
        let (sender, _) = if urgent { &self.urgent } else { &self.normal };
        if matches!(work, Work::Connection(_)) {
            let verdict = self.controller.admit(now, sender.len(), bucket, urgent, None);
            if let Verdict::Refuse(refusal) = verdict {
                return Err((work, refusal));
            }
        }
        self.controller.entered(bucket);
        match sender.try_send(Ticket { work, entered: now, bucket }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(ticket) | TrySendError::Disconnected(ticket)) => {
                self.controller.left(bucket);
                self.controller.gated();
                Err((ticket.work, Refusal::QueueFull))
            }
        }
    }

    /// Takes the next work, and judges whether it is still worth serving. Never waits.
    pub(crate) fn take(&self) -> Option<Ticket> {
        self.urgent.1.try_recv().or_else(|_| self.normal.1.try_recv()).ok()
    }

    /// Whether the work that was taken is still worth serving.
    pub(crate) fn judge(&self, ticket: &Ticket, now: Instant) -> Verdict {
        let verdict = self.controller.judge(now, ticket.entered, ticket.bucket, None);
        match ticket.work {
            Work::Connection(_) => verdict,
            Work::Continuation(_) => Verdict::Keep,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.normal.1.len() + self.urgent.1.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.normal.1.is_empty() && self.urgent.1.is_empty()
    }

    /// How much more work it takes before it is full.
    pub(crate) fn room(&self) -> usize {
        let capacity = self.normal.0.capacity().unwrap_or(usize::MAX);
        capacity.saturating_sub(self.normal.0.len())
    }
}
