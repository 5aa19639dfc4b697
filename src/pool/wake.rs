//! Which thread is woken for work that was enqueued, or for a deadline that is now the earliest.

use crate::pool::leader;
use crate::pool::shared::Shared;

impl Shared {
    /// Wakes a thread for work that the calling thread enqueued and will not serve.
    pub(crate) fn wake_worker(&self) {
        if self.leader.wake_worker() {
            self.poller.wake();
        }
    }

    /// As [`wake_worker`](Self::wake_worker), for `count` pieces of work. While handlers are slow
    /// it wakes a worker for each. Otherwise it wakes one, and only if the workers that are awake
    /// would not be done soon.
    pub(crate) fn wake_workers(&self, count: usize) {
        if count == 0 {
            return;
        }
        if self.leader.handlers_are_slow() {
            (0..count).for_each(|_| self.wake_worker());
        } else if self.leader.awake() == 0
            || self.queue.len() > leader::WORTH_SHARING
            // The monitor waits on epoll, and looks at the queue only once it is woken.
            || self.leader.monitor_leads()
        {
            self.wake_worker();
        } else {
            self.leader.wake_monitor();
            if self.leader.monitor_leads() {
                // It has begun to lead since the check above, perhaps while the queue was empty.
                self.poller.wake();
            }
        }
    }

    /// The leader has enqueued `count` datagrams, and will serve them itself: wakes another worker
    /// if sharing that work saves more than a wake-up costs.
    pub(crate) fn wake_for_burst(&self, count: usize) {
        self.leader.share_work(self.queue.controller.service_estimate() * count as u32);
    }

    /// The earliest deadline is now earlier: wakes the thread that waits for it.
    pub(crate) fn wake_for_deadline(&self) {
        if self.leader.monitor_leads() {
            self.poller.wake();
        } else {
            self.leader.wake_monitor();
            if self.leader.monitor_leads() {
                // It has begun to lead since the check above, perhaps with the former deadline.
                self.poller.wake();
            }
        }
    }

    /// Wakes every thread, as the server drains or stops.
    pub(crate) fn wake_all_threads(&self) {
        self.connections.acceptor.wake();
        self.leader.wake_all();
        self.poller.wake();
    }
}
