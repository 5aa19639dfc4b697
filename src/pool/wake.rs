//! Whom to wake for work that was put into the queue, and for a deadline that has come nearer.

use crate::pool::leader;
use crate::pool::shared::Shared;

impl Shared {
    /// Sees to it that somebody will take what was put into the queue.
    pub(crate) fn wake_worker(&self) {
        if self.leader.wake_worker() {
            self.poller.wake();
        }
    }

    /// As [`wake_worker`](Self::wake_worker), for several pieces of work that were put in together:
    /// if handlers are slow a worker for each, else one, and that only if there is more than those
    /// awake will soon have done.
    pub(crate) fn wake_workers(&self, count: usize) {
        if count == 0 {
            return;
        }
        if self.leader.handlers_are_slow() {
            (0..count).for_each(|_| self.wake_worker());
        } else if self.leader.awake() == 0
            || self.queue.len() > leader::WORTH
            // It waits on epoll, and looks after the queue only once it has been woken.
            || self.leader.monitor_leads()
        {
            self.wake_worker();
        } else {
            self.leader.wake_monitor();
            if self.leader.monitor_leads() {
                // It waits with nothing in the queue to look after.
                self.poller.wake();
            }
        }
    }

    /// The leader has put so many datagrams into the queue, and will serve them: wakes another
    /// worker if there is more to do than that costs.
    pub(crate) fn share_burst(&self, count: usize) {
        self.leader.share_work(self.queue.controller.service_estimate() * count as u32);
    }

    /// The first deadline has come nearer: whoever waits for it has to wait shorter.
    pub(crate) fn reschedule(&self) {
        if self.leader.monitor_leads() {
            self.poller.wake();
        } else {
            self.leader.wake_monitor();
            if self.leader.monitor_leads() {
                // It waits with nothing in the queue to look after.
                self.poller.wake();
            }
        }
    }

    pub(crate) fn wake_everybody(&self) {
        self.connections.acceptor.wake();
        self.leader.wake_all();
        self.poller.wake();
    }
}
