//! [`Queue`]: the bounded work queue between the threads that enqueue work and the workers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::pool::deferred::Deferred;
use crate::pool::handshake_lane::{HandshakeLane, TRICKLE};
use crate::pool::oldest_entry::OldestEntry;
use crate::pool::overload::controller::{Controller, HandshakesAhead, Verdict};
#[cfg(feature = "tls")]
use crate::pool::overload::fairness::Bucket;
use crate::pool::overload::refusal::Refusal;
pub(crate) use crate::pool::work::{QueueItem, QueuedWork, Work};

/// Two bounded channels, one of them for urgent work, and the [`Controller`] that keeps the wait
/// short.
#[derive(Debug)]
pub(crate) struct Queue<W = Work> {
    normal: (Sender<QueuedWork<W>>, Receiver<QueuedWork<W>>),
    urgent: (Sender<QueuedWork<W>>, Receiver<QueuedWork<W>>),
    deferred: Deferred<W>,
    handshakes: HandshakeLane<QueuedWork<W>>,
    /// How much of the work in the channels was admitted before. It is the rest of an exchange,
    /// which takes a worker next to no time, so the predicted wait leaves it out. It is raised
    /// before the work enters and lowered after the work is taken, so it never falls below zero; a
    /// prediction needs no stronger ordering.
    continuing: AtomicUsize,
    /// Since when the oldest work of each channel waits.
    oldest: [OldestEntry; 2],
    pub(crate) controller: Controller,
}

impl<W: QueueItem> Queue<W> {
    pub(crate) fn new(capacity: usize, controller: Controller) -> Self {
        let deferred = Deferred::new((4 * controller.workers()).clamp(16, capacity.max(16)));
        let (normal, urgent) = (bounded(capacity), bounded(capacity));
        let epoch = Instant::now();
        let oldest = std::array::from_fn(|_| OldestEntry::new(epoch));
        let handshakes = HandshakeLane::new(capacity, num_cpus::get(), epoch);
        let continuing = AtomicUsize::new(0);
        Self { normal, urgent, deferred, handshakes, continuing, oldest, controller }
    }

    /// Sets how many workers are in a handshake at once. `None`: as many as there are cores.
    pub(crate) fn with_handshakes(mut self, most: Option<usize>) -> Self {
        if let (Some(most), Some(capacity)) = (most, self.normal.0.capacity()) {
            self.handshakes = HandshakeLane::new(capacity, most, Instant::now());
        }
        self
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
        if work.is_handshake() {
            return self.push_handshake(work, arrived, now);
        }
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

    /// Enqueues a handshake if it is admitted.
    fn push_handshake(&self, work: W, entered: Instant, now: Instant) -> Result<(), (W, Refusal)> {
        let bucket = work.bucket();
        let lane = &self.handshakes;
        let ahead = HandshakesAhead {
            waiting: lane.len(),
            at_once: lane.most(),
            trickle: TRICKLE,
            requests: self.normal.0.len(),
        };
        if let Verdict::Refuse(refusal) =
            self.controller.admit_handshake(now, entered, ahead, bucket)
        {
            return Err((work, refusal));
        }
        // A handshake is neither load for the handlers nor part of the queue.
        self.controller.count_handshake(bucket);
        lane.push(QueuedWork { work, entered, bucket }, entered).map_err(|queued| {
            self.controller.count_handshake_removed(bucket);
            (queued.work, Refusal::QueueFull)
        })
    }

    /// Whether the next handshake goes before the requests that wait: in the order of their
    /// arrival, unless there is too much of either.
    fn handshake_comes_first(&self, now: Instant) -> bool {
        let lane = &self.handshakes;
        if lane.is_starved(now, self.controller.handshake_estimate()) {
            return true;
        }
        !self.controller.has_too_many_handshakes(lane.len(), lane.most())
            && lane.oldest(now) >= self.oldest_of(false, now)
    }

    /// Whether a handshake waits that is due before any request: a worker must not serve one
    /// connection for as long as that has requests.
    pub(crate) fn has_starved_handshake(&self, now: Instant) -> bool {
        let lane = &self.handshakes;
        lane.is_open() && lane.is_starved(now, self.controller.handshake_estimate())
    }

    /// A permit for a handshake, for a worker that has found a new client by itself. `None`: others
    /// wait, or as many workers as may are already in a handshake.
    pub(crate) fn begin_handshake(&self, now: Instant) -> Option<HandshakePermit<'_, W>> {
        let begins = self.handshakes.len() == 0 && self.handshakes.try_begin(now);
        begins.then(|| HandshakePermit(self))
    }

    /// The permit that came with work that was taken, if it is a handshake.
    pub(crate) fn permit_of(&self, queued: &QueuedWork<W>) -> Option<HandshakePermit<'_, W>> {
        queued.work.is_handshake().then(|| HandshakePermit(self))
    }

    /// How many handshakes wait for a worker.
    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.len()
    }

    /// Whether no work waits at all, whether or not a worker may take it.
    pub(crate) fn is_idle(&self) -> bool {
        !self.has_any() && self.handshakes.len() == 0
    }

    /// Whether there is work that any worker may take, apart from deferred work.
    pub(crate) fn has_ready(&self) -> bool {
        !self.is_empty() || self.handshakes.is_open()
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
        if self.handshakes.is_open()
            && self.handshake_comes_first(now())
            && let Some(queued) = self.handshakes.take(now())
        {
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
        if self.handshakes.is_open()
            && let Some(queued) = self.handshakes.take(now())
        {
            return Some((queued, None));
        }
        // There is no other work, so an idle worker would help no client.
        self.deferred.take(may).map(|queued| (queued, None))
    }

    /// Takes any work that is left, also deferred work: the server has stopped.
    pub(crate) fn take_remaining(&self) -> Option<QueuedWork<W>> {
        let deferred = || self.deferred.take(|_| true).or_else(|| self.handshakes.remove(|_| true));
        let not_urgent = || self.take_from(false).or_else(deferred);
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

    /// Takes deferred work, or a handshake, that can no longer be done in time.
    pub(crate) fn take_overdue(&self, now: Instant) -> Option<QueuedWork<W>> {
        let waited = |entered| now.saturating_duration_since(entered);
        self.deferred.take(|queued| self.is_overdue(queued, now)).or_else(|| {
            self.handshakes.remove(|at| self.controller.is_handshake_overdue(waited(at)))
        })
    }

    /// Whether there is work that a worker may take now.
    pub(crate) fn has_work(&self, now: Instant) -> bool {
        self.has_ready() || self.deferred.any(|queued| self.may_be_served(queued, now))
    }

    /// Decides whether work that was taken is still worth serving, and counts it as taken.
    pub(crate) fn check_wait(&self, queued: &QueuedWork<W>, now: Instant) -> Verdict {
        if queued.work.is_admitted() {
            self.controller.count_removed(queued.bucket);
            return Verdict::Keep;
        }
        if queued.work.is_handshake() {
            self.controller.count_handshake_removed(queued.bucket);
            return self.controller.check_handshake(now.saturating_duration_since(queued.entered));
        }
        self.controller.check_wait(now, queued.entered, queued.bucket)
    }

    /// Decides about a request that came with other work and has waited with it since `entered`:
    /// whether it would have been admitted, and whether it is still worth serving.
    #[cfg(feature = "tls")]
    pub(crate) fn judge_in_turn(&self, bucket: Bucket, entered: Instant, now: Instant) -> Verdict {
        match self.controller.admit_in_turn(now, self.len_of(false), bucket) {
            Verdict::Keep => {
                self.controller.count_enqueued(bucket);
                self.controller.check_wait(now, entered, bucket)
            }
            refused => refused,
        }
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
        let in_channels = self.oldest_of(true, now).max(self.oldest_of(false, now));
        in_channels.max(self.deferred.oldest(now)).max(self.handshakes.oldest(now))
    }

    fn oldest_of(&self, urgent: bool, now: Instant) -> Duration {
        match self.len_of(urgent) {
            0 => Duration::ZERO,
            _ => self.oldest[usize::from(urgent)].age(now),
        }
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

/// A worker's permit for a handshake; released by `Drop`.
#[derive(Debug)]
pub(crate) struct HandshakePermit<'a, W>(&'a Queue<W>);

impl<W> Drop for HandshakePermit<'_, W> {
    fn drop(&mut self) {
        self.0.handshakes.finish();
    }
}

#[cfg(test)]
mod tests;
