//! Policies of other servers: with them, the goals that millpond reaches must fail.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::policy::{Attempt, QueuePolicy};

/// The highest capacity of millpond's queue.
const FIFO_CAPACITY: usize = 4096;

/// First in, first out, bounded: a thread pool with a queue as long as the backlog.
#[derive(Debug, Default)]
pub(super) struct Fifo {
    queue: VecDeque<(Attempt, Instant)>,
}

impl QueuePolicy for Fifo {
    fn enter(&mut self, attempt: Attempt, now: Instant) -> bool {
        let room = self.queue.len() < FIFO_CAPACITY;
        if room {
            self.queue.push_back((attempt, now));
        }
        room
    }

    fn take(&mut self, _now: Instant) -> Option<(Attempt, bool)> {
        self.queue.pop_front().map(|(attempt, _)| (attempt, true))
    }
}

/// `CoDel` (RFC 8289 §5). While all work waits for longer than the target, one piece is dropped
/// where it leaves the queue each time that a certain time has passed: an interval, divided by the
/// square root of the number dropped so far.
#[derive(Debug, Default)]
pub(super) struct CoDel {
    fifo: Fifo,
    /// An interval after the wait rose above the target.
    first_above: Option<Instant>,
    dropping: bool,
    drop_next: Option<Instant>,
    count: u32,
    last_count: u32,
}

const CODEL_TARGET: Duration = Duration::from_millis(5);
const CODEL_INTERVAL: Duration = Duration::from_millis(100);

impl CoDel {
    /// The next work, and whether it may be dropped (`dodequeue`, RFC 8289 §5.5).
    fn dequeue(&mut self, now: Instant) -> Option<(Attempt, bool)> {
        let Some((attempt, entered)) = self.fifo.queue.pop_front() else {
            self.first_above = None;
            return None;
        };
        // The RFC never drops the last packet in the queue; here that is the last piece of work.
        if now - entered < CODEL_TARGET || self.fifo.queue.is_empty() {
            self.first_above = None;
            return Some((attempt, false));
        }
        let since = *self.first_above.get_or_insert(now + CODEL_INTERVAL);
        Some((attempt, now >= since))
    }

    /// `control_law`, RFC 8289 §5.6.
    fn after(&self, time: Instant) -> Instant {
        time + CODEL_INTERVAL.div_f64(f64::from(self.count).sqrt())
    }
}

impl QueuePolicy for CoDel {
    fn enter(&mut self, attempt: Attempt, now: Instant) -> bool {
        self.fifo.enter(attempt, now)
    }

    fn take(&mut self, now: Instant) -> Option<(Attempt, bool)> {
        let (attempt, may_drop) = self.dequeue(now).or_else(|| {
            self.dropping = false;
            None
        })?;
        if self.dropping {
            match self.drop_next {
                _ if !may_drop => self.dropping = false,
                Some(next) if now >= next => {
                    self.count += 1;
                    self.drop_next = Some(self.after(next));
                    return Some((attempt, false));
                }
                _ => {}
            }
            return Some((attempt, true));
        }
        if !may_drop {
            return Some((attempt, true));
        }
        self.dropping = true;
        // If dropping ended only a while ago, it continues at the rate that it had.
        let recent = self.drop_next.is_some_and(|next| now < next + 16 * CODEL_INTERVAL);
        let delta = self.count - self.last_count;
        self.count = if delta > 1 && recent { delta } else { 1 };
        self.last_count = self.count;
        self.drop_next = Some(self.after(now));
        Some((attempt, false))
    }
}
