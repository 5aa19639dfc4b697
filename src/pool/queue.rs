//! [`Queue`]: the bounded work queue between the threads that enqueue work and the workers.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::pool::connection::Connection;
use crate::pool::datagram::queued::QueuedDatagram;
use crate::pool::oldest_entry::OldestEntry;
use crate::pool::overload::controller::{Controller, Verdict};
use crate::pool::overload::fairness::Bucket;
use crate::pool::overload::refusal::Refusal;
use crate::sync::lock;

/// Work, and when it entered the queue.
#[derive(Debug)]
pub(crate) struct QueuedWork<W = Work> {
    pub(crate) work: W,
    pub(crate) entered: Instant,
    bucket: Bucket,
}

/// What the queue has to know of a piece of work. A trait, as the work of the simulation is no
/// connection.
pub(crate) trait QueueItem {
    /// The client that it is for.
    fn bucket(&self) -> Bucket;

    /// Whether workers take it before all other work. Default: no.
    fn is_urgent(&self) -> bool {
        false
    }

    /// Whether it was admitted before: then it is neither refused nor deferred. Default: no.
    fn is_admitted(&self) -> bool {
        false
    }
}

/// What a worker can do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Serve a connection: a new one, or one that became ready.
    Connection(Box<Connection>),
    /// Continue with a connection whose request was admitted before.
    Continuation(Box<Connection>),
    /// Handle a datagram.
    Datagram(Box<QueuedDatagram>),
}

impl Work {
    /// The work for a connection that is ready: the rest of a request that was admitted, or a new
    /// request.
    pub(crate) fn of(connection: Box<Connection>) -> Self {
        if connection.is_continuing() {
            Self::Continuation(connection)
        } else {
            Self::Connection(connection)
        }
    }
}

impl QueueItem for Work {
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

/// Two bounded channels, one of them for urgent work, and the [`Controller`] that keeps the wait
/// short.
#[derive(Debug)]
pub(crate) struct Queue<W = Work> {
    normal: (Sender<QueuedWork<W>>, Receiver<QueuedWork<W>>),
    urgent: (Sender<QueuedWork<W>>, Receiver<QueuedWork<W>>),
    deferred: Deferred<W>,
    /// How much of the work in the channels was admitted before. It is the rest of an exchange,
    /// which takes a worker next to no time, so the predicted wait leaves it out. It is raised
    /// before the work enters and lowered after the work is taken, so it never falls below zero; a
    /// prediction needs no stronger ordering.
    continuing: AtomicUsize,
    /// Since when the oldest work of each channel waits.
    oldest: [OldestEntry; 2],
    pub(crate) controller: Controller,
}

/// Work of clients that have their part of the workers already. It waits here, bounded, until a
/// worker of that client is done or no other client waits. A worker that ends a service looks here
/// first, so that no worker has to be woken for deferred work.
#[derive(Debug)]
struct Deferred<W> {
    items: Mutex<VecDeque<QueuedWork<W>>>,
    /// How many there are, to be read without the lock: usually there are none. It is written under
    /// the lock, so a reader sees at worst a state that has just changed.
    count: AtomicUsize,
    capacity: usize,
}

impl<W: QueueItem> Deferred<W> {
    fn new(capacity: usize) -> Self {
        Self { items: Mutex::default(), count: AtomicUsize::new(0), capacity }
    }

    /// How many there are.
    fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// # Errors
    /// The work, if there is no room.
    fn push(&self, queued: QueuedWork<W>) -> Result<(), QueuedWork<W>> {
        let mut items = lock(&self.items);
        if items.len() >= self.capacity {
            return Err(queued);
        }
        items.push_back(queued);
        self.count.store(items.len(), Ordering::SeqCst);
        Ok(())
    }

    /// Takes the first one that is `wanted`.
    fn take(&self, wanted: impl Fn(&QueuedWork<W>) -> bool) -> Option<QueuedWork<W>> {
        if self.len() == 0 {
            return None;
        }
        let mut items = lock(&self.items);
        let index = items.iter().position(wanted)?;
        let queued = items.remove(index);
        self.count.store(items.len(), Ordering::SeqCst);
        queued
    }

    /// How long the oldest of them has waited; zero if there is none.
    fn oldest(&self, now: Instant) -> Duration {
        if self.len() == 0 {
            return Duration::ZERO;
        }
        let ages = |queued: &QueuedWork<W>| now.saturating_duration_since(queued.entered);
        lock(&self.items).iter().map(ages).max().unwrap_or_default()
    }

    fn any(&self, wanted: impl Fn(&QueuedWork<W>) -> bool) -> bool {
        self.len() > 0 && lock(&self.items).iter().any(wanted)
    }
}

impl<W: QueueItem> Queue<W> {
    pub(crate) fn new(capacity: usize, controller: Controller) -> Self {
        let deferred = Deferred::new((4 * controller.workers()).clamp(16, capacity.max(16)));
        let (normal, urgent) = (bounded(capacity), bounded(capacity));
        let epoch = Instant::now();
        let oldest = std::array::from_fn(|_| OldestEntry::new(epoch));
        Self { normal, urgent, deferred, continuing: AtomicUsize::new(0), oldest, controller }
    }

    /// Enqueues work if it is admitted. Never waits.
    ///
    /// # Errors
    /// The work and the reason to refuse it.
    pub(crate) fn push(&self, work: W, now: Instant) -> Result<(), (W, Refusal)> {
        self.push_from(work, now, now)
    }

    /// As [`push`](Self::push), for work that has waited elsewhere since `arrived`: that time is a
    /// part of its wait.
    ///
    /// # Errors
    /// The work and the reason to refuse it.
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
            self.controller.count_continued(bucket);
        } else {
            // Deferred work comes before this work only if this is about to be deferred as well.
            let must_defer = !urgent && self.controller.must_defer(bucket);
            let deferred = if must_defer { self.deferred.len() } else { 0 };
            let continuing = self.continuing.load(Ordering::Relaxed);
            let length = (sender.len() + deferred).saturating_sub(continuing);
            let verdict = self.controller.admit(now, arrived, length, bucket, urgent);
            if let Verdict::Refuse(refusal) = verdict {
                return Err((work, refusal));
            }
            self.controller.count_enqueued(bucket);
        }
        if sender.is_empty() {
            self.oldest[usize::from(urgent)].note(arrived);
        }
        match sender.try_send(QueuedWork { work, entered: arrived, bucket }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(queued) | TrySendError::Disconnected(queued)) => {
                if admitted {
                    self.continuing.fetch_sub(1, Ordering::Relaxed);
                }
                self.controller.count_removed(bucket);
                self.controller.count_refused();
                Err((queued.work, Refusal::QueueFull))
            }
        }
    }

    /// Takes the next work, with the reason to refuse it if its client may have no more workers.
    /// Never waits.
    ///
    /// Work of a client that has its part of the workers is deferred, within a bound, while there
    /// is work of other clients. Work of a client that has as many workers as it may have at all
    /// waits for one of these.
    pub(crate) fn take(
        &self,
        now: impl Fn() -> Instant,
    ) -> Option<(QueuedWork<W>, Option<Refusal>)> {
        if let Some(queued) = self.take_urgent() {
            return Some((queued, None));
        }
        let may = |queued: &QueuedWork<W>| self.may_be_served(queued, now());
        let comes_first = |queued: &QueuedWork<W>| may(queued) && !self.must_defer(queued);
        if let Some(queued) = self.deferred.take(comes_first) {
            return Some((queued, None));
        }
        for _ in 0..self.normal.1.len() {
            let Some(queued) = self.take_from(false) else { break };
            if comes_first(&queued) {
                return Some((queued, None));
            }
            // Deferred, or, without room for that, back to the end of the queue.
            let put_aside = self.deferred.push(queued).or_else(|queued| self.put_back(queued));
            if let Err(queued) = put_aside {
                let refusal = (!may(&queued)).then_some(Refusal::QueueFull);
                return Some((queued, refusal));
            }
        }
        // There is no other work, so an idle worker would help no client.
        self.deferred.take(may).map(|queued| (queued, None))
    }

    /// Takes any work that is left, also deferred work: the server has stopped.
    pub(crate) fn take_remaining(&self) -> Option<QueuedWork<W>> {
        let not_urgent = || self.take_from(false).or_else(|| self.deferred.take(|_| true));
        self.take_from(true).or_else(not_urgent)
    }

    /// Takes the next urgent work.
    pub(crate) fn take_urgent(&self) -> Option<QueuedWork<W>> {
        self.take_from(true)
    }

    /// Takes the next work of one of the channels, whether or not its client may have a worker.
    pub(crate) fn take_from(&self, urgent: bool) -> Option<QueuedWork<W>> {
        let (_, channel) = if urgent { &self.urgent } else { &self.normal };
        let queued = channel.try_recv().ok()?;
        if queued.work.is_admitted() {
            self.continuing.fetch_sub(1, Ordering::Relaxed);
        }
        self.oldest[usize::from(urgent)].note(queued.entered);
        Some(queued)
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

    fn may_be_served(&self, queued: &QueuedWork<W>, now: Instant) -> bool {
        let waited = now.saturating_duration_since(queued.entered);
        queued.work.is_admitted() || self.controller.may_serve(queued.bucket, waited, now)
    }

    fn must_defer(&self, queued: &QueuedWork<W>) -> bool {
        !queued.work.is_admitted() && self.controller.must_defer(queued.bucket)
    }

    /// Takes deferred work that can no longer be done in time.
    pub(crate) fn take_overdue(&self, now: Instant) -> Option<QueuedWork<W>> {
        self.deferred.take(|queued| self.is_overdue(queued, now))
    }

    /// Whether there is work that a worker may take now.
    pub(crate) fn has_work(&self, now: Instant) -> bool {
        !self.is_empty() || self.deferred.any(|queued| self.may_be_served(queued, now))
    }

    /// Decides whether work that was taken is still worth serving, and counts it as taken.
    pub(crate) fn check_wait(&self, queued: &QueuedWork<W>, now: Instant) -> Verdict {
        if queued.work.is_admitted() {
            self.controller.count_removed(queued.bucket);
            return Verdict::Keep;
        }
        self.controller.check_wait(now, queued.entered, queued.bucket)
    }

    /// Whether work can no longer be done in time, and so is refused whatever the load.
    pub(crate) fn is_overdue(&self, queued: &QueuedWork<W>, now: Instant) -> bool {
        let waited = now.saturating_duration_since(queued.entered);
        !queued.work.is_admitted() && self.controller.is_overdue(waited)
    }

    /// Puts work back at the end with the time at which it entered, as if it had never been taken.
    /// A thread that does so with all work leaves the order as it was.
    ///
    /// # Errors
    /// The work, if the queue has become full meanwhile.
    pub(crate) fn put_back(&self, queued: QueuedWork<W>) -> Result<(), QueuedWork<W>> {
        let (sender, _) = if queued.work.is_urgent() { &self.urgent } else { &self.normal };
        let continuing = usize::from(queued.work.is_admitted());
        self.continuing.fetch_add(continuing, Ordering::Relaxed);
        sender.try_send(queued).map_err(|error| {
            self.continuing.fetch_sub(continuing, Ordering::Relaxed);
            error.into_inner()
        })
    }

    /// Takes out the work that can no longer be done in time, of both channels, and passes it to
    /// `refuse` with the reason. Other work goes back to its place, or to `refuse` if the queue has
    /// become full meanwhile. Returns when the oldest work that stays was queued, at most `now`.
    pub(crate) fn shed(
        &self,
        now: Instant,
        mut refuse: impl FnMut(QueuedWork<W>, Refusal),
    ) -> Instant {
        let mut oldest = now;
        // Each channel by its length at the start, so that no work that was put back is taken
        // again.
        let lengths = [true, false].map(|urgent| (urgent, self.len_of(urgent)));
        for (urgent, length) in lengths {
            for _ in 0..length {
                let Some(queued) = self.take_from(urgent) else { break };
                if self.is_overdue(&queued, now) {
                    refuse(queued, Refusal::Deadline);
                    continue;
                }
                oldest = oldest.min(queued.entered);
                if let Err(queued) = self.put_back(queued) {
                    refuse(queued, Refusal::QueueFull);
                }
            }
        }
        oldest
    }

    /// How much work waits, deferred work included.
    pub(crate) fn len(&self) -> usize {
        self.normal.1.len() + self.urgent.1.len() + self.deferred.len()
    }

    /// How long the oldest work has waited, about (see [`OldestEntry`]); zero if none waits.
    pub(crate) fn oldest(&self, now: Instant) -> Duration {
        let of_channel = |urgent: bool| match self.len_of(urgent) {
            0 => Duration::ZERO,
            _ => self.oldest[usize::from(urgent)].age(now),
        };
        of_channel(true).max(of_channel(false)).max(self.deferred.oldest(now))
    }

    /// Whether any work waits, deferred work included.
    pub(crate) fn has_any(&self) -> bool {
        !self.is_empty() || self.deferred.len() > 0
    }

    /// Whether no work waits, except for deferred work.
    pub(crate) fn is_empty(&self) -> bool {
        self.normal.1.is_empty() && self.urgent.1.is_empty()
    }

    /// How much more work the queue has room for, apart from urgent work.
    pub(crate) fn room(&self) -> usize {
        let capacity = self.normal.0.capacity().unwrap_or(usize::MAX);
        capacity.saturating_sub(self.normal.0.len())
    }

    /// Whether there is no room, and serving the work in the queue costs less than refusing more.
    /// Then work that comes next had better wait in the kernel.
    pub(crate) fn is_full_of_cheap_work(&self) -> bool {
        self.room() == 0 && self.controller.serving_is_cheap()
    }
}
