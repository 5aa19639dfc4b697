//! What others do, and what millpond has to do better than: the same goals must fail with these.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Attempt, Gate};

/// As long as millpond's queue may be at the most.
const BOUND: usize = 4096;

/// First in, first out, bounded: what a thread pool does whose queue is as long as the backlog.
#[derive(Debug, Default)]
pub(super) struct Fifo {
    queue: VecDeque<(Attempt, Instant)>,
}

impl Gate for Fifo {
    fn enter(&mut self, attempt: Attempt, now: Instant) -> bool {
        let room = self.queue.len() < BOUND;
        if room {
            self.queue.push_back((attempt, now));
        }
        room
    }

    fn take(&mut self, _now: Instant) -> Option<(Attempt, bool)> {
        self.queue.pop_front().map(|(attempt, _)| (attempt, true))
    }
}

/// `CoDel`, as RFC 8289 §5 has it: where work leaves the queue, one piece is dropped each time that
/// an interval divided by the root of the number dropped so far has passed, as long as work has
/// waited for longer than the target throughout.
#[derive(Debug, Default)]
pub(super) struct CoDel {
    fifo: Fifo,
    /// Since when, plus an interval, the wait has been above the target.
    first_above: Option<Instant>,
    dropping: bool,
    drop_next: Option<Instant>,
    count: u32,
    last_count: u32,
}

const TARGET: Duration = Duration::from_millis(5);
const INTERVAL: Duration = Duration::from_millis(100);

impl CoDel {
    /// The next work, and whether it may be dropped (`dodequeue` of RFC 8289 §5.5).
    fn dequeue(&mut self, now: Instant) -> Option<(Attempt, bool)> {
        let Some((attempt, entered)) = self.fifo.queue.pop_front() else {
            self.first_above = None;
            return None;
        };
        // One packet of the largest size is what the RFC lets pass; here it is one piece of work.
        if now - entered < TARGET || self.fifo.queue.is_empty() {
            self.first_above = None;
            return Some((attempt, false));
        }
        let since = *self.first_above.get_or_insert(now + INTERVAL);
        Some((attempt, now >= since))
    }

    /// `control_law` of RFC 8289 §5.6.
    fn after(&self, time: Instant) -> Instant {
        time + INTERVAL.div_f64(f64::from(self.count).sqrt())
    }
}

impl Gate for CoDel {
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
        // Dropping that was left only a while ago goes on where it stood.
        let recent = self.drop_next.is_some_and(|next| now < next + 16 * INTERVAL);
        let delta = self.count - self.last_count;
        self.count = if delta > 1 && recent { delta } else { 1 };
        self.last_count = self.count;
        self.drop_next = Some(self.after(now));
        Some((attempt, false))
    }
}
