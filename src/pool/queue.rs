//! The work queue: a bounded channel of tickets between those who bring work and the workers.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::pool::connection::Connection;
use crate::pool::datagram::socket::QueuedDatagram;
use crate::pool::overload::controller::{Controller, Verdict};
use crate::pool::overload::fairness::Bucket;
use crate::pool::overload::refusal::Refusal;
use crate::sync::lock;

/// Work, and when it came.
#[derive(Debug)]
pub(crate) struct Ticket<W = Work> {
    pub(crate) work: W,
    pub(crate) entered: Instant,
    bucket: Bucket,
}

/// What the queue has to know of work. (In the simulation, work is no connection.)
pub(crate) trait Queued {
    /// Whose it is.
    fn bucket(&self) -> Bucket;

    /// Whether it is taken before all other work.
    fn is_urgent(&self) -> bool;

    /// Whether it was admitted before, and is not judged again.
    fn is_admitted(&self) -> bool;
}

/// What a worker can be asked to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Serve a connection: a newcomer, or one that became ready.
    Connection(Box<Connection>),
    /// Go on with a connection whose request was admitted before: it is not judged again.
    Continuation(Box<Connection>),
    /// Answer a datagram.
    Datagram(Box<QueuedDatagram>),
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
}

impl Queued for Work {
    fn bucket(&self) -> Bucket {
        match self {
            Self::Connection(connection) | Self::Continuation(connection) => connection.bucket,
            Self::Datagram(datagram) => datagram.bucket,
        }
    }

    fn is_urgent(&self) -> bool {
        match self {
            Self::Connection(connection) | Self::Continuation(connection) => connection.urgent,
            Self::Datagram(datagram) => datagram.urgent,
        }
    }

    fn is_admitted(&self) -> bool {
        matches!(self, Self::Continuation(_))
    }
}

/// Two bounded channels, urgent work first, and the [`Controller`] that keeps the wait short.
#[derive(Debug)]
pub(crate) struct Queue<W = Work> {
    normal: (Sender<Ticket<W>>, Receiver<Ticket<W>>),
    urgent: (Sender<Ticket<W>>, Receiver<Ticket<W>>),
    deferred: Deferred<W>,
    /// How much of what is in the channels was admitted before. It is the rest of an exchange,
    /// which takes a worker next to no time: it is no part of the wait that is foretold.
    continuing: AtomicUsize,
    pub(crate) controller: Controller,
}

/// Work whose client holds its part of the workers: it waits here, bounded, until a worker of the
/// client's is done or nobody else waits. Whoever ends a service looks here first, so that nothing
/// has to be woken for it.
#[derive(Debug)]
struct Deferred<W> {
    tickets: Mutex<VecDeque<Ticket<W>>>,
    /// How many there are: read before the lock is taken.
    count: AtomicUsize,
    most: usize,
}

impl<W: Queued> Deferred<W> {
    fn new(most: usize) -> Self {
        Self { tickets: Mutex::default(), count: AtomicUsize::new(0), most }
    }

    /// How many there are.
    fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// # Errors
    /// The ticket, if there are as many as there may be.
    fn push(&self, ticket: Ticket<W>) -> Result<(), Ticket<W>> {
        let mut tickets = lock(&self.tickets);
        if tickets.len() >= self.most {
            return Err(ticket);
        }
        tickets.push_back(ticket);
        self.count.store(tickets.len(), Ordering::SeqCst);
        Ok(())
    }

    /// The first one that is `wanted`.
    fn take(&self, wanted: impl Fn(&Ticket<W>) -> bool) -> Option<Ticket<W>> {
        if self.len() == 0 {
            return None;
        }
        let mut tickets = lock(&self.tickets);
        let place = tickets.iter().position(wanted)?;
        let ticket = tickets.remove(place);
        self.count.store(tickets.len(), Ordering::SeqCst);
        ticket
    }

    fn any(&self, wanted: impl Fn(&Ticket<W>) -> bool) -> bool {
        self.len() > 0 && lock(&self.tickets).iter().any(wanted)
    }
}

impl<W: Queued> Queue<W> {
    pub(crate) fn new(capacity: usize, controller: Controller) -> Self {
        let deferred = Deferred::new((4 * controller.workers()).clamp(16, capacity.max(16)));
        let (normal, urgent) = (bounded(capacity), bounded(capacity));
        Self { normal, urgent, deferred, continuing: AtomicUsize::new(0), controller }
    }

    /// Puts work in, or gives it back with the reason. Never waits.
    pub(crate) fn push(&self, work: W, now: Instant) -> Result<(), (W, Refusal)> {
        self.push_from(work, now, now)
    }

    /// As [`push`](Self::push), for work that has waited elsewhere since `arrived`: that is a part
    /// of its wait.
    pub(crate) fn push_from(
        &self,
        work: W,
        arrived: Instant,
        now: Instant,
    ) -> Result<(), (W, Refusal)> {
        let (bucket, urgent) = (work.bucket(), work.is_urgent());
        let (sender, _) = if urgent { &self.urgent } else { &self.normal };
        let admitted = work.is_admitted();
        if admitted {
            self.continuing.fetch_add(1, Ordering::Relaxed);
            self.controller.resumed(bucket);
        } else {
            // What was put aside comes before the work of those who hold their part, and no
            // other's.
            let behind = !urgent && self.controller.yields(bucket);
            let aside = if behind { self.deferred.len() } else { 0 };
            let continuing = self.continuing.load(Ordering::Relaxed);
            let length = (sender.len() + aside).saturating_sub(continuing);
            let verdict = self.controller.admit(now, arrived, length, bucket, urgent);
            if let Verdict::Refuse(refusal) = verdict {
                return Err((work, refusal));
            }
            self.controller.entered(bucket);
        }
        match sender.try_send(Ticket { work, entered: arrived, bucket }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(ticket) | TrySendError::Disconnected(ticket)) => {
                if admitted {
                    self.continuing.fetch_sub(1, Ordering::Relaxed);
                }
                self.controller.left(bucket);
                self.controller.gated();
                Err((ticket.work, Refusal::QueueFull))
            }
        }
    }

    /// Takes the next work, and the reason to refuse it if it has no right to a worker. Never
    /// waits.
    ///
    /// Work of clients that hold their part of the workers waits aside, within a bound, while there
    /// is work of others; that of clients that hold as many as they may at all waits for one of
    /// these.
    pub(crate) fn take(&self, now: impl Fn() -> Instant) -> Option<(Ticket<W>, Option<Refusal>)> {
        if let Some(ticket) = self.take_urgent() {
            return Some((ticket, None));
        }
        let may = |ticket: &Ticket<W>| self.may_be_served(ticket, now());
        let comes_first = |ticket: &Ticket<W>| may(ticket) && !self.yields(ticket);
        if let Some(ticket) = self.deferred.take(comes_first) {
            return Some((ticket, None));
        }
        for _ in 0..self.normal.1.len() {
            let Some(ticket) = self.take_any(false) else { break };
            if comes_first(&ticket) {
                return Some((ticket, None));
            }
            // Aside, or else to the end of the queue.
            let put = self.deferred.push(ticket).or_else(|ticket| self.put_back(ticket));
            if let Err(ticket) = put {
                let refusal = (!may(&ticket)).then_some(Refusal::QueueFull);
                return Some((ticket, refusal));
            }
        }
        // Nothing else is there: a worker that does nothing would help nobody.
        self.deferred.take(may).map(|ticket| (ticket, None))
    }

    /// Takes work, whoever's it is and whatever it waits for.
    pub(crate) fn take_left(&self) -> Option<Ticket<W>> {
        let usual = || self.take_any(false).or_else(|| self.deferred.take(|_| true));
        self.take_any(true).or_else(usual)
    }

    /// Takes the next urgent work.
    pub(crate) fn take_urgent(&self) -> Option<Ticket<W>> {
        self.take_any(true)
    }

    /// Takes the next work of one of the channels, whether or not its client may have a worker.
    pub(crate) fn take_any(&self, urgent: bool) -> Option<Ticket<W>> {
        let (_, channel) = if urgent { &self.urgent } else { &self.normal };
        let ticket = channel.try_recv().ok()?;
        if ticket.work.is_admitted() {
            self.continuing.fetch_sub(1, Ordering::Relaxed);
        }
        Some(ticket)
    }

    /// How much work waits in one of the channels.
    pub(crate) fn len_of(&self, urgent: bool) -> usize {
        let (_, channel) = if urgent { &self.urgent } else { &self.normal };
        channel.len()
    }

    /// Whether urgent work waits.
    pub(crate) fn has_urgent(&self) -> bool {
        !self.urgent.1.is_empty()
    }

    fn may_be_served(&self, ticket: &Ticket<W>, now: Instant) -> bool {
        let waited = now.saturating_duration_since(ticket.entered);
        ticket.work.is_admitted() || self.controller.may_serve(ticket.bucket, waited, now)
    }

    fn yields(&self, ticket: &Ticket<W>) -> bool {
        !ticket.work.is_admitted() && self.controller.yields(ticket.bucket)
    }

    /// Takes work that was put aside and can no longer be done in time.
    pub(crate) fn take_overdue(&self, now: Instant) -> Option<Ticket<W>> {
        self.deferred.take(|ticket| self.is_overdue(ticket, now))
    }

    /// Whether there is work that a worker may take.
    pub(crate) fn has_work(&self, now: Instant) -> bool {
        !self.is_empty() || self.deferred.any(|ticket| self.may_be_served(ticket, now))
    }

    /// Whether the work that was taken is still worth serving.
    pub(crate) fn judge(&self, ticket: &Ticket<W>, now: Instant) -> Verdict {
        if ticket.work.is_admitted() {
            self.controller.left(ticket.bucket);
            return Verdict::Keep;
        }
        self.controller.judge(now, ticket.entered, ticket.bucket)
    }

    /// Whether work is refused for its wait alone, whatever the load: it can no longer be done in
    /// time.
    pub(crate) fn is_overdue(&self, ticket: &Ticket<W>, now: Instant) -> bool {
        let waited = now.saturating_duration_since(ticket.entered);
        !ticket.work.is_admitted() && self.controller.is_overdue(waited)
    }

    /// Puts work back at the end as if it had never been taken: it keeps its time. Whoever does so
    /// with all there is leaves the order as it was.
    ///
    /// # Errors
    /// The work, if others have taken its place meanwhile.
    pub(crate) fn put_back(&self, ticket: Ticket<W>) -> Result<(), Ticket<W>> {
        let (sender, _) = if ticket.work.is_urgent() { &self.urgent } else { &self.normal };
        let continuing = usize::from(ticket.work.is_admitted());
        self.continuing.fetch_add(continuing, Ordering::Relaxed);
        sender.try_send(ticket).map_err(|error| {
            self.continuing.fetch_sub(continuing, Ordering::Relaxed);
            error.into_inner()
        })
    }

    /// How much work waits.
    pub(crate) fn len(&self) -> usize {
        self.normal.1.len() + self.urgent.1.len() + self.deferred.len()
    }

    /// Whether any work waits.
    pub(crate) fn has_any(&self) -> bool {
        !self.is_empty() || self.deferred.len() > 0
    }

    /// Whether no work waits but such as was put aside.
    pub(crate) fn is_empty(&self) -> bool {
        self.normal.1.is_empty() && self.urgent.1.is_empty()
    }

    /// How much more work it takes before it is full.
    pub(crate) fn room(&self) -> usize {
        let capacity = self.normal.0.capacity().unwrap_or(usize::MAX);
        capacity.saturating_sub(self.normal.0.len())
    }
}
